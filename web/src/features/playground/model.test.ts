import { describe, expect, it } from "vitest";
import { passage, queryStats } from "../../test/sources";
import { askedOf } from "./asked";
import { columnsOf, formOf, linesOf, piecesOf, queryOf, rankWords, timingsOf } from "./model";

const stats = queryStats({ vector_ms: 0, synthesis_ms: 900, total_ms: 910 });

describe("the address", () => {
  it("holds what is not usual, and nothing else", () => {
    expect(askedOf({ q: "why", mode: "hybrid", k: 10, rerank: false, sources: "x" })).toEqual({ q: "why" });
    expect(
      askedOf({ q: 404, mode: "lexical", k: 99, sources: [3, -1], answer: true, after: "2026-01-02" }),
    ).toEqual({
      q: "404",
      mode: "lexical",
      sources: [3],
      answer: true,
      after: "2026-01-02",
    });
    expect(askedOf({ before: "yesterday" })).toEqual({});
  });

  it("comes back the same through the form", () => {
    const asked = { q: "x", mode: "vector" as const, k: 3, rerank: true as const, paths: "docs/**" };
    expect(askedOf({ ...formOf(asked) })).toEqual(asked);
    expect(askedOf({ ...formOf({}) })).toEqual({});
  });

  it("becomes a request", () => {
    expect(queryOf({ q: "x", answer: true, languages: "go, python", before: "2026-02-01" })).toEqual({
      question: "x",
      top_k: 10,
      mode: "hybrid",
      explain: true,
      synthesize: true,
      filters: { languages: ["go", "python"], modified_before: "2026-02-01T00:00:00Z" },
    });
  });
});

describe("ranks", () => {
  const a = passage(1);
  const b = passage(2);
  const c = passage(3);

  it("stand beside each other, those that there are", () => {
    const columns = columnsOf({ results: [b, a], lists: { lexical: [a, b, c], vector: [b] }, stats });
    expect(columns.map((x) => [x.key, x.items.length])).toEqual([
      ["lexical", 3],
      ["result", 2],
      ["vector", 1],
    ]);
    expect(columns[0]?.most).toBe(1);
    // Without vectors there is one order only.
    const single = columnsOf({ results: [a, b], lists: { lexical: [a, b, c], vector: [] }, stats });
    expect(single.map((x) => [x.label, x.items.length])).toEqual([["By words", 2]]);
    expect(columnsOf({ results: [a], stats }).map((x) => x.label)).toEqual(["Together"]);
    const ranks = { lexical: 1, vector: 2, fused: 1, rerank: 1 };
    const reranked = passage(1, { ranks });
    expect(columnsOf({ results: [reranked], stats })[0]?.label).toBe("Reranked");
    expect(rankWords(reranked)).toBe("words 1, meaning 2, together 1, reranked 1");
  });

  it("are joined by lines where the chunk is the same", () => {
    expect(linesOf([a, b, c], [c, a])).toEqual([
      { chunk: 1, from: 0, to: 1 },
      { chunk: 3, from: 2, to: 0 },
    ]);
  });
});

describe("a snippet", () => {
  const words = (snippet: string, highlights: number[][]) =>
    piecesOf(snippet, highlights)
      .map((p) => (p.hit ? `[${p.text}]` : p.text))
      .join("");

  it("is marked where words were found, by characters", () => {
    expect(words("a 👋 wave", [[4, 8]])).toBe("a 👋 [wave]");
    expect(
      words("one two", [
        [4, 7],
        [0, 3],
      ]),
    ).toBe("[one] [two]");
  });

  it("bears offsets that overlap or lie outside", () => {
    expect(
      words("one two", [
        [0, 5],
        [4, 99],
        [50, 60],
        [3, 3],
      ]),
    ).toBe("[one t][wo]");
    expect(words("", [[0, 1]])).toBe("");
  });
});

it("says where the time went", () => {
  expect(timingsOf(stats).map((t) => [t.key, t.ms])).toEqual([
    ["lexical", 3],
    ["synthesis", 900],
  ]);
});
