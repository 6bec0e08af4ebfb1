import { fireEvent, screen, waitFor } from "@testing-library/react";
import { createRef } from "react";
import { describe, expect, it, vi } from "vitest";
import type { Retrieved } from "../../../api/aliases";
import { serve, show } from "../../../test/render";
import { passage, queryStats, source } from "../../../test/sources";
import type { Asked } from "../asked";
import { Question } from "./question";
import { Results } from "./results";

const retrieved = (change: Partial<Retrieved> = {}): Retrieved => ({
  results: [
    passage(2, { snippet: "a job is retried", highlights: [[9, 16]] }),
    passage(1, { snippet: "the other one", ranks: { lexical: 1, vector: 2, fused: 2, rerank: null } }),
  ],
  lists: { lexical: [passage(1), passage(2)], vector: [passage(1)] },
  stats: queryStats(),
  ...change,
});

describe("the question", () => {
  const ask = async (asked: Asked = {}) => {
    serve({ "GET /rag/sources": { body: { items: [source()], next_cursor: null } } });
    const onAsk = vi.fn<(asked: Asked) => void>();
    await show(<Question asked={asked} busy={false} field={createRef()} onAsk={onAsk} />);
    return onAsk;
  };
  const field = () => screen.getByLabelText<HTMLTextAreaElement>("Question", { selector: "textarea" });

  it("is asked with Enter, and only when there is one", async () => {
    const onAsk = await ask();
    fireEvent.keyDown(field(), { key: "Enter" });
    fireEvent.change(field(), { target: { value: " why? " } });
    fireEvent.keyDown(field(), { key: "Enter", shiftKey: true });
    expect(onAsk).not.toHaveBeenCalled();
    fireEvent.keyDown(field(), { key: "Enter" });
    expect(onAsk).toHaveBeenCalledWith({ q: "why?" });
  });

  it("takes what was chosen along", async () => {
    const onAsk = await ask({ q: "why", sources: [2] });
    fireEvent.click(screen.getByText("Words"));
    fireEvent.click(screen.getByLabelText("Write an answer"));
    fireEvent.change(screen.getByLabelText("Paths"), { target: { value: "docs/**" } });
    fireEvent.click(screen.getByRole("button", { name: "Search" }));
    expect(onAsk).toHaveBeenCalledWith({
      q: "why",
      sources: [2],
      mode: "lexical",
      answer: true,
      paths: "docs/**",
    });
    await waitFor(() => expect(screen.getAllByText("Handbook").length).toBeGreaterThan(0));
  });
});

describe("the results", () => {
  it("stand in their three orders, and the same chunk is marked in all of them", async () => {
    await show(<Results retrieved={retrieved()} />);
    for (const label of ["By words", "Together", "By meaning"])
      expect(screen.getByRole("region", { name: label })).toBeTruthy();
    const marked = () => document.querySelectorAll("button[data-at]").length;
    expect(marked()).toBe(2); // the first result is selected: it is in two of the lists
    const [other] = screen.getAllByRole("button", { name: /^1\. docs\/file1\.md/ });
    if (other) fireEvent.mouseEnter(other);
    expect(marked()).toBe(3);
    expect(document.querySelectorAll("path[data-at]")).toHaveLength(2);
  });

  it("mark what was found, and j and k walk through them", async () => {
    await show(<Results retrieved={retrieved()} />);
    expect(document.querySelector("mark")?.textContent).toBe("retried");
    fireEvent.keyDown(document.documentElement, { key: "j" });
    expect(screen.getByText("the other one")).toBeTruthy();
    fireEvent.keyDown(document.documentElement, { key: "k" });
    expect(screen.queryByText("the other one")).toBeNull();
    expect(screen.getByRole("link").getAttribute("href")).toBe("/sources/2/files?file=72&chunk=2");
  });

  it("name the passages of an answer, and say why none was written", async () => {
    const citations = [{ number: 1, result_index: 1 }];
    const view = await show(<Results retrieved={retrieved({ answer: "After a pause [1].", citations })} />);
    fireEvent.click(screen.getByRole("button", { name: /^1 file1\.md/ }));
    expect(screen.getByText("the other one")).toBeTruthy();
    view.unmount();
    await show(<Results retrieved={retrieved({ synthesis_error: { code: "x", message: "No model." } })} />);
    expect(screen.getByRole("alert").textContent).toContain("No model.");
  });

  it("say that nothing was found, and what was not looked into", async () => {
    const stats = { ...retrieved().stats, warnings: ["“Wiki” has no index."] };
    await show(<Results retrieved={retrieved({ results: [], lists: { lexical: [], vector: [] }, stats })} />);
    expect(screen.getByText("Nothing was found")).toBeTruthy();
    expect(screen.getByText("“Wiki” has no index.")).toBeTruthy();
  });

  it("say what was searched in place of misspelt words, and what the question cost", async () => {
    const stats = {
      ...retrieved().stats,
      corrections: [{ word: "retreival", searched: ["retrieval", "retrieve"] }],
      usage: {
        currency: "EUR",
        cost_micros: 12_000,
        calls: [
          { for: "embed" as const, model: "e", input_tokens: 1_200, output_tokens: 0, cost_micros: 12_000 },
        ],
      },
    };
    await show(<Results retrieved={retrieved({ stats })} />);
    expect(screen.getByLabelText("Other spellings").textContent).toBe(
      " Searched for “retrieval” or “retrieve” instead of “retreival”, which no passage has.",
    );
    expect(screen.getByText("1,200 tokens, 0.012 EUR")).toBeTruthy();
  });
});
