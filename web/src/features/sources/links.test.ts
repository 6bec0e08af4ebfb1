import { describe, expect, it } from "vitest";
import type { Chunk } from "../../api/aliases";
import { source } from "../../test/sources";
import { webFile } from "./hosts";
import { findWanted, linesOf } from "./wanted";

const git = (url: string, subfolder = "") => {
  const one = source({ kind: "git", url, subfolder });
  return { ...one, index: one.index && { ...one.index, remote_revision: "abc123" } };
};

describe("a file of a Git source on the web", () => {
  it("is at the commit that was indexed, with its lines", () => {
    const of = (url: string) => webFile(git(url, "docs"), "a b.md", { lines: [3, 9] })?.url;
    expect(of("https://github.com/acme/site.git")).toBe(
      "https://github.com/acme/site/blob/abc123/docs/a%20b.md#L3-L9",
    );
    expect(of("ssh://git@gitlab.com/acme/web/site.git")).toBe(
      "https://gitlab.com/acme/web/site/-/blob/abc123/docs/a%20b.md#L3-9",
    );
    expect(of("https://codeberg.org/acme/site")).toBe(
      "https://codeberg.org/acme/site/src/commit/abc123/docs/a%20b.md#L3-L9",
    );
  });

  it("has no address where the host is not known, or no commit", () => {
    expect(webFile(git("https://git.example.org/acme/site.git"), "a", { lines: null })).toBeNull();
    expect(webFile(git("file:///srv/site.git"), "a", { lines: null })).toBeNull();
    expect(webFile(git("https://github.com/"), "a", { lines: null })).toBeNull();
    expect(webFile({ ...git("https://github.com/a/b"), index: null }, "a", { lines: null })).toBeNull();
  });
});

const chunk = (id: number, from: number, to: number, page = 0): Chunk => ({
  id,
  key: `key${id}`,
  ordinal: id,
  position: { line_start: from, line_end: to, page, heading: [] },
  context: "",
  text: "",
  tokens: 1,
  has_vector: false,
});

describe("the chunk that a link means", () => {
  const chunks = [chunk(1, 1, 9), chunk(2, 10, 20), chunk(3, 0, 0, 4)];

  it("is that with its number, else with its key", () => {
    expect(findWanted(chunks, { id: 2 }, true)?.id).toBe(2);
    expect(findWanted(chunks, { key: "key1", at: "lines 10-12" }, true)?.id).toBe(1);
  });

  it("is the one at its place when its text has changed since", () => {
    expect(findWanted(chunks, { key: "gone", at: "lines 12-14" }, false)).toBeUndefined();
    expect(findWanted(chunks, { key: "gone", at: "lines 12-14" }, true)?.id).toBe(2);
    expect(findWanted(chunks, { at: "page 4" }, true)?.id).toBe(3);
    expect(findWanted(chunks, { at: "line 99" }, true)).toBeUndefined();
    expect(findWanted(chunks, { id: 99 }, true)).toBeUndefined();
  });

  it("knows lines in words", () => {
    expect(linesOf("lines 3–9")).toEqual([3, 9]);
    expect(linesOf("line 3")).toEqual([3, 3]);
    expect(linesOf("page 3")).toBeNull();
    expect(linesOf(undefined)).toBeNull();
  });
});
