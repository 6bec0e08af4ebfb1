import { fireEvent, screen } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { FoundPassage, Retrieval } from "../../api/aliases";
import { serve, show } from "../../test/render";
import { queryStats } from "../../test/sources";
import { SearchFilters } from "./components/search-filters";
import { SearchView } from "./components/search-view";
import { filterOf } from "./filter";
import { foundWords, periodFault, periodOf, sourceWords } from "./model";

const passage = (change: Partial<FoundPassage> = {}): FoundPassage => ({
  source_id: 2,
  path: "docs/jobs.md",
  chunk: "abc",
  position: { line_start: 3, line_end: 9, page: 0, heading: ["Jobs"] },
  score: 0.5,
  snippet: "Tried again.",
  cited: false,
  ...change,
});

const search = (change: Partial<Retrieval> = {}): Retrieval => ({
  id: 7,
  origin: "thread",
  origin_id: 30,
  thread_id: 4,
  user: "ada@example.org",
  question: "Why again?",
  source_ids: [2],
  results: [passage(), passage({ chunk: "def", path: "b.md", cited: true })],
  stats: queryStats({
    mode: "lexical",
    embedder: null,
    vector_backend: "none",
    warnings: ["Notes: not indexed yet."],
  }),
  request_id: "r-1",
  at: "2026-01-02T03:04:05Z",
  ...change,
});

describe("a search on record", () => {
  it("leads to who asked and to what was found", async () => {
    serve({ "GET /rag/sources": { body: { items: [{ id: 2, name: "Handbook" }], next_cursor: null } } });
    await show(<SearchView of={search()} />);
    expect(screen.getByRole("link", { name: "Thread 4" }).getAttribute("href")).toBe("/threads/4");
    expect(screen.getByRole("link", { name: "docs/jobs.md" }).getAttribute("href")).toBe(
      "/sources/2/files?path=docs%2Fjobs.md&key=abc&at=lines+3%E2%80%939",
    );
    expect(screen.getAllByText("Cited")).toHaveLength(1);
    expect(screen.getByText("Notes: not indexed yet.")).toBeTruthy();
    expect((await screen.findAllByText(/Handbook/)).length).toBeGreaterThan(0);
  });

  it("says that nothing was found", async () => {
    serve({});
    await show(<SearchView of={search({ results: [], origin: "node", origin_id: 9, thread_id: null })} />);
    expect(screen.getByText("Nothing was found")).toBeTruthy();
    expect(screen.getByRole("link", { name: "Node 9" }).getAttribute("href")).toBe("/nodes/9");
  });
});

describe("the filters of searches", () => {
  it("keep what the address may hold and nothing else", () => {
    expect(filterOf({ origin: "mcp", source: 2, user: "x", from: "2026-01-02", to: "2026-13-45" })).toEqual({
      origin: "mcp",
      source: 2,
      from: "2026-01-02",
    });
  });

  it("count the last day whole, and name days in the wrong order", async () => {
    const { since, until } = periodOf({ from: "2026-01-02", to: "2026-01-02" });
    expect(Date.parse(until ?? "") - Date.parse(since ?? "")).toBe(86_400_000);
    expect(periodFault({ from: "2026-01-02", to: "2026-01-02" })).toBeNull();
    serve({});
    const onFilter = vi.fn();
    await show(<SearchFilters filter={{ from: "2026-01-03", to: "2026-01-02" }} onFilter={onFilter} />);
    expect(screen.getByRole("alert").textContent).toContain("before the first");
    fireEvent.change(screen.getByLabelText("First day"), { target: { value: "" } });
    expect(onFilter).toHaveBeenCalledWith({ to: "2026-01-02" });
  });

  it("are said in words", () => {
    expect(foundWords(search().results)).toBe("2 passages, 1 cited");
    expect(foundWords([])).toBe("Nothing");
    expect(sourceWords([1, 2, 3, 4], new Map([[1, "A"]]))).toBe("A, Source 2, Source 3 and 1 more");
  });
});
