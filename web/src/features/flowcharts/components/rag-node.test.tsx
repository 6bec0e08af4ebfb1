import { fireEvent, screen } from "@testing-library/react";
import { ReactFlowProvider } from "@xyflow/react";
import { createRef } from "react";
import { describe, expect, it } from "vitest";
import type { Finding, RetrievalHealth } from "../../../api/aliases";
import { node } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { source } from "../../../test/sources";
import { useEditor } from "../store";
import { Inspector } from "./inspector";
import { Palette } from "./palette";

const health = (change: Partial<RetrievalHealth>): RetrievalHealth => ({
  status: "configured_healthy",
  sources: 1,
  indexed_sources: 1,
  embedder: { configured: true, ok: true, model: "m", message: "" },
  store: { ok: true, vector_backend: "exact", pgvector: false, message: "" },
  reasons: [],
  ...change,
});

const rag = node("look", "rag", { mode: "query", source_ids: [2], question: "{{ input.q }}" }, "Look");
const config = () => useEditor.getState().history.present.nodes.find((n) => n.id === "look")?.config;

function answers(of: RetrievalHealth) {
  serve({
    "GET /rag/health": { body: of },
    "GET /rag/sources": { body: { items: [source()], next_cursor: null } },
    "GET /models": { body: { items: [], next_cursor: null } },
  });
}

function open(errors: Finding[] = []) {
  const graph = { nodes: [node("start", "start"), rag], edges: [] };
  useEditor.getState().open(7, graph, 1, '"1"', { valid: errors.length === 0, errors });
}

describe("a retrieval node", () => {
  it("is set up with what it does, its sources and its question", async () => {
    answers(health({}));
    open([
      {
        node_id: "look",
        edge_id: "",
        reason: "flow.missing_question",
        message: "The rag node has no question.",
      },
    ]);
    useEditor.getState().select(["look"]);
    await show(<Inspector flowchartId={7} />);
    expect(await screen.findAllByText("Handbook")).not.toHaveLength(0);
    expect(screen.getAllByText("The rag node has no question.")).toHaveLength(1);
    fireEvent.change(screen.getByLabelText("Question"), { target: { value: "why?" } });
    expect(config()).toMatchObject({ question: "why?" });
    fireEvent.click(screen.getByRole("combobox", { name: "What it does" }));
    fireEvent.click(await screen.findByText("Index what has changed"));
    expect(config()).toMatchObject({ mode: "delta_index", source_ids: [2], question: "why?" });
    expect(screen.queryByLabelText("Question")).toBeNull();
  });

  it("cannot be added while nothing is there to ask, and says why", async () => {
    answers(health({ status: "unconfigured", sources: 0, indexed_sources: 0 }));
    open();
    await show(
      <ReactFlowProvider>
        <Palette search={createRef()} />
      </ReactFlowProvider>,
    );
    expect(await screen.findByText(/There are no sources yet/)).toBeTruthy();
    const add = screen.getByRole("button", { name: "Add Retrieval" });
    expect(add.getAttribute("aria-disabled")).toBe("true");
    fireEvent.click(add);
    expect(useEditor.getState().history.present.nodes).toHaveLength(2);
    expect(screen.getByRole("link", { name: "Sources" }).getAttribute("href")).toBe("/sources");
  });

  it("can be added where there is an index", async () => {
    answers(health({}));
    open();
    await show(
      <ReactFlowProvider>
        <Palette search={createRef()} />
      </ReactFlowProvider>,
    );
    fireEvent.click(screen.getByRole("button", { name: "Add Retrieval" }));
    const added = useEditor.getState().history.present.nodes.at(-1);
    expect(added).toMatchObject({ kind: "rag", config: { mode: "query", source_ids: [], question: "" } });
  });
});
