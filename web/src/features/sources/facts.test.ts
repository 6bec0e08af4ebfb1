import { describe, expect, it } from "vitest";
import type { Collection, RetrievalHealth } from "../../api/aliases";
import { source } from "../../test/sources";
import { choicesOf } from "./choices";
import { sharesOf } from "./collections";
import { refusalOf, troubleOf } from "./health";
import { parentIn } from "./paths";

const health = (change: Partial<RetrievalHealth>): RetrievalHealth => ({
  status: "configured_healthy",
  sources: 2,
  indexed_sources: 2,
  embedder: { configured: true, ok: true, model: "m", message: "" },
  store: { ok: true, vector_backend: "exact", pgvector: false, message: "" },
  reasons: [],
  ...change,
});

describe("the health of retrieval", () => {
  it("is not spoken of while all is well", () => {
    expect(troubleOf(health({}))).toBeNull();
    expect(refusalOf(health({}))).toBeNull();
    expect(refusalOf(undefined)).toBeNull();
  });

  it("tells that searches go by words alone only where there is something to search", () => {
    const embedder = { configured: false, ok: false, model: "", message: "" };
    expect(troubleOf(health({ embedder }))).toMatchObject({ bad: false, settings: true });
    expect(troubleOf(health({ embedder, sources: 0, status: "unconfigured" }))).toBeNull();
  });

  it("tells what is broken, the store first", () => {
    const embedder = { configured: true, ok: false, model: "m", message: "refused (401)" };
    const store = { ok: false, vector_backend: "none" as const, pgvector: false, message: "no table" };
    expect(troubleOf(health({ embedder }))).toMatchObject({ bad: true, settings: true });
    expect(troubleOf(health({ embedder, store }))?.text).toBe("no table.");
  });

  it("says why a retrieval node cannot be used", () => {
    expect(refusalOf(health({ status: "unconfigured", sources: 0 }))).toMatch(/no sources yet/);
    expect(refusalOf(health({ status: "unconfigured" }))).toMatch(/No source is indexed/);
    expect(refusalOf(health({ status: "configured_unhealthy", reasons: ["a", "b."] }))).toBe("a. b.");
  });
});

describe("choices", () => {
  it("keep what was chosen, whatever became of it", () => {
    const bare = source({ id: 3, name: "New", index: null });
    expect(choicesOf([source(), bare], [9], true, true)).toEqual([
      { value: "2", label: "Handbook", disabled: false },
      { value: "3", label: "New (not indexed)", disabled: true },
      { value: "9", label: "Source 9 (deleted)", disabled: false },
    ]);
    expect(choicesOf([bare], [3], true, true)[0]?.disabled).toBe(false);
    expect(choicesOf([bare], [], true, false)[0]?.disabled).toBe(false);
    expect(choicesOf([], [9], false, true)[0]?.label).toBe("Source 9");
  });
});

describe("collections", () => {
  const collection = (
    languages: Collection["languages"],
    files: number,
    kinds = [{ kind: "markdown", files }],
  ): Collection => ({
    source_id: 1,
    name: "c",
    kind: "git",
    status: "ready",
    files,
    chunks: 1,
    bytes: 1,
    indexed_at: null,
    embedder: null,
    languages,
    kinds,
  });

  it("are made of languages, or of kinds where nothing has one", () => {
    expect(sharesOf(collection([{ language: "", files: 4 }], 4))).toEqual([
      { name: "markdown", files: 4, share: 1 },
    ]);
    const some = sharesOf(
      collection(
        [
          { language: "go", files: 1 },
          { language: "python", files: 3 },
        ],
        8,
        [
          { kind: "code", files: 5 },
          { kind: "markdown", files: 2 },
        ],
      ),
    );
    expect(some.map((s) => [s.name, s.share])).toEqual([
      ["python", 0.375],
      ["markdown", 0.25],
      ["go", 0.125],
      ["other", 0.25],
    ]);
    expect(sharesOf(collection([], 0))).toEqual([]);
  });
});

describe("folders", () => {
  it("lead up to their root and no further", () => {
    expect(parentIn("/srv/docs/a", "/srv/docs")).toBe("/srv/docs");
    expect(parentIn("/srv/docs", "/srv/docs")).toBeNull();
    expect(parentIn("/a", "/")).toBe("/");
  });
});
