import { QueryClient } from "@tanstack/react-query";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Envelope, FlowchartRun, RunDetail } from "../api/aliases";
import { nodeKeys } from "../features/nodes/keys";
import { runKeys } from "../features/runs/api";
import { toolKeys } from "../features/tools/api";
import { flowchartRun } from "../test/graphs";
import { envelope } from "../test/realtime";
import { CachePatcher } from "./patches";

const stream = "flowchart_run:5";
const snapshot = (sequence: number, status: FlowchartRun["status"]): RunDetail => ({
  flowchart_run: flowchartRun({ id: 5, status }),
  node_runs: [],
  as_of: { stream, sequence },
});
const event = (sequence: number, status: FlowchartRun["status"]): Envelope => ({
  ...envelope(stream, sequence),
  payload: { flowchart_run: flowchartRun({ id: 5, status, finished_at: null }) },
});

let patcher: CachePatcher | undefined;
afterEach(() => patcher?.stop());

describe("a snapshot that is loaded", () => {
  it("is followed by the events that were shown before it came", async () => {
    const cache = new QueryClient();
    patcher = new CachePatcher(cache);
    const load = (detail: RunDetail) =>
      cache.fetchQuery({ queryKey: runKeys.detail(5), queryFn: () => Promise.resolve(detail) });
    await load(snapshot(1, "queued"));
    patcher.apply(event(2, "running"));
    patcher.apply(event(3, "cancelling"));
    // Made before the events, answered after them.
    await load(snapshot(1, "queued"));
    await vi.waitFor(() => {
      const detail = cache.getQueryData<RunDetail>(runKeys.detail(5));
      expect(detail?.as_of.sequence).toBe(3);
      expect(detail?.flowchart_run.status).toBe("cancelling");
    });
  });
});

describe("an event that another room brings first", () => {
  const ended = (sequence: number, id: string): Envelope => ({
    ...envelope(stream, sequence),
    event_type: "node:task:completed",
    entity_kind: "task",
    entity_id: id,
    payload: {
      flowchart_node_id: "ask",
      kind: "task",
      title: "Ask",
      status: "succeeded",
      attempt: 1,
      execution_index: 1,
    },
  });
  it("does not hide those before it", async () => {
    const cache = new QueryClient();
    patcher = new CachePatcher(cache);
    const detail = () => cache.getQueryData<RunDetail>(runKeys.detail(5));
    cache.setQueryData(runKeys.detail(5), snapshot(1, "running"));
    patcher.apply(event(3, "cancelling")); // the room of all runs; that of the run is not joined yet
    expect(detail()?.flowchart_run.status).toBe("running");
    await vi.waitFor(() => expect(cache.getQueryState(runKeys.detail(5))?.isInvalidated).toBe(true));
    patcher.apply(ended(2, "55"));
    patcher.apply(event(3, "cancelling"));
    expect(detail()?.node_runs).toMatchObject([{ id: 55, status: "succeeded" }]);
    expect(detail()).toMatchObject({ flowchart_run: { status: "cancelling" }, as_of: { sequence: 3 } });
  });
});

describe("events of a quick node", () => {
  const quick = (more: Partial<Envelope> = {}): Envelope => ({
    ...envelope("task:9", 2),
    event_type: "node:task:completed",
    entity_kind: "task",
    entity_id: "9",
    room_keys: ["task:9", "studio"],
    payload: { status: "succeeded" },
    ...more,
  });
  const keys = [runKeys.node(9), runKeys.nodeEvents(9), nodeKeys.lists, toolKeys.approvals, runKeys.node(8)];
  const staleAfter = async (act: (p: CachePatcher) => void) => {
    const cache = new QueryClient();
    for (const key of keys) cache.setQueryData(key, {});
    const made = new CachePatcher(cache);
    patcher = made;
    act(made);
    await vi.waitFor(() => expect(cache.getQueryState(runKeys.node(9))?.isInvalidated).toBe(true));
    return keys.map((key) => cache.getQueryState(key)?.isInvalidated);
  };

  it("load its page and the lists again, and nothing of others", async () => {
    expect(await staleAfter((p) => p.apply(quick()))).toEqual([true, true, true, true, false]);
  });
  it("leave lists alone when they change nothing there", async () => {
    const stage = quick({ event_type: "node:task:stage_updated", room_keys: ["task:9"] });
    expect(await staleAfter((p) => p.apply(stage))).toEqual([true, true, false, false, false]);
  });
  it("are loaded whole when its room cannot be replayed", async () => {
    expect(await staleAfter((p) => p.resync("task:9"))).toEqual([true, true, false, false, false]);
  });
});
