import { QueryClient } from "@tanstack/react-query";
import { describe, expect, it, vi } from "vitest";
import { envelope } from "../../test/realtime";
import { counts, indexRun, running, source } from "../../test/sources";
import type { LoadedSource } from "./api";
import { sourceKeys } from "./keys";
import { applySourceEvent } from "./live";

const listKey = [...sourceKeys.lists, {}, 50];

function cached() {
  const cache = new QueryClient();
  cache.setQueryData(sourceKeys.detail(2), { ...source(), etag: '"3"' });
  cache.setQueryData(listKey, { pages: [{ items: [source()], next_cursor: null }], pageParams: [""] });
  cache.setQueryData(sourceKeys.run(32), running({ id: 32 }));
  const refresh = vi.fn();
  const tell = (payload: object) =>
    applySourceEvent(
      cache,
      { ...envelope("rag_source:2", 5), payload: { source_id: 2, ...payload } },
      refresh,
    );
  const refreshed = () => refresh.mock.calls.flat().map((key) => key.join(" "));
  return { cache, tell, refreshed };
}

describe("news of sources", () => {
  it("move a run on everywhere without loading anything", () => {
    const { cache, tell, refreshed } = cached();
    const run = running({ id: 32, counts: counts({ added: 9, done: 4 }) });
    tell({ change: "index", index_run: run });
    expect(cache.getQueryData(sourceKeys.run(32))).toEqual(run);
    expect(cache.getQueryData<LoadedSource>(sourceKeys.detail(2))?.active_run).toEqual(run);
    expect(JSON.stringify(cache.getQueryData(listKey))).toContain('"done":4');
    expect(refreshed()).toEqual(["sources runs 2"]); // a run that the history does not have yet
  });

  it("load what the end of a run changes, and nothing changes a run that has ended", () => {
    const { cache, tell, refreshed } = cached();
    tell({ change: "index", index_run: indexRun({ id: 32 }) });
    expect(refreshed()).toEqual(
      expect.arrayContaining(["sources detail 2", "sources list", "sources journal 32", "sources files 2"]),
    );
    tell({ change: "index", index_run: running({ id: 32 }) });
    expect(cache.getQueryData<LoadedSource>(sourceKeys.detail(2))?.active_run).toBeNull();
    expect(cache.getQueryData(sourceKeys.run(32))).toMatchObject({ status: "succeeded" });
  });

  it("load errors again when more files have failed", () => {
    const { tell, refreshed } = cached();
    tell({ change: "index", index_run: running({ id: 32, counts: counts({ failed: 1 }) }) });
    expect(refreshed()).toContain("sources errors 32");
  });

  it("of an edit take away the right to overwrite it unseen", () => {
    const { cache, tell } = cached();
    tell({ change: "updated", source: source({ name: "Other", revision: 4 }) });
    expect(cache.getQueryData(sourceKeys.detail(2))).toMatchObject({ name: "Other", etag: null });
  });
});
