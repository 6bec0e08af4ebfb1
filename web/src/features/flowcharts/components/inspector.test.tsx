import { fireEvent, screen } from "@testing-library/react";
import { beforeEach, describe, expect, it } from "vitest";
import type { Finding } from "../../../api/aliases";
import { edge, node } from "../../../test/graphs";
import { serve, show } from "../../../test/render";
import { useEditor } from "../store";
import { Inspector } from "./inspector";

const finding = (more: Partial<Finding>): Finding => ({
  node_id: "ask",
  edge_id: "",
  reason: "flow.invalid_config",
  message: "",
  ...more,
});

const graph = {
  nodes: [
    node("start", "start"),
    node("ask", "task", { prompt: "{{ nope }}" }, "Ask"),
    node("call", "http", { method: "GET", url: "" }, "Call"),
    node("choose", "decision", { conditions: [{ edge_id: "e3", expression: "size(" }] }, "Choose"),
    node("end", "end"),
  ],
  edges: [edge("e1", "start", "ask"), edge("e2", "ask", "choose"), edge("e3", "choose", "end")],
};

function open(selected: string, errors: Finding[]) {
  useEditor.getState().open(7, graph, 1, '"1"', { valid: errors.length === 0, errors });
  useEditor.getState().select([selected]);
  return show(<Inspector flowchartId={7} />);
}

const config = (id: string) => useEditor.getState().history.present.nodes.find((n) => n.id === id)?.config;

beforeEach(() => {
  serve({
    "GET /models": { body: { items: [], next_cursor: null } },
    "GET /flowcharts/7": { body: { id: 7, name: "A", description: "" } },
  });
});

describe("the inspector", () => {
  it("says what is wrong at the field that it is about, and nowhere twice", async () => {
    await open("ask", [
      finding({ reason: "flow.missing_model", message: "The task has no model." }),
      finding({ message: 'config.prompt: the expression uses the unknown name "nope"' }),
      finding({ reason: "flow.unreachable", message: "No path leads to this node." }),
    ]);
    const model = await screen.findByRole("combobox", { name: "Model" });
    expect(model.getAttribute("aria-invalid")).toBe("true");
    expect(screen.getAllByText("The task has no model.")).toHaveLength(1);
    expect(screen.getAllByText('The expression uses the unknown name "nope"')).toHaveLength(1);
    expect(screen.getByText("No path leads to this node.").closest("li")).not.toBeNull();
  });

  it("writes what is typed into the graph, as one step to undo", async () => {
    await open("call", [
      finding({ node_id: "call", reason: "flow.missing_url", message: "There is no URL." }),
    ]);
    const url = await screen.findByRole("textbox", { name: "URL" });
    expect(screen.getByText("There is no URL.")).toBeTruthy();
    fireEvent.change(url, { target: { value: "https://a" } });
    fireEvent.change(url, { target: { value: "https://a.example" } });
    expect(config("call")).toMatchObject({ url: "https://a.example" });
    useEditor.getState().undo();
    expect(config("call")).toMatchObject({ url: "" });
  });

  it("asks for a condition on every way out of a decision", async () => {
    await open("choose", [
      finding({
        node_id: "choose",
        edge_id: "e3",
        message: "config.conditions[0].expression: ends too early",
      }),
    ]);
    const condition = await screen.findByRole("textbox", { name: "To end when" });
    expect(screen.getByText("Ends too early")).toBeTruthy();
    fireEvent.change(condition, { target: { value: "size(upstream.text) > 3" } });
    expect(config("choose")).toMatchObject({
      conditions: [{ edge_id: "e3", expression: "size(upstream.text) > 3" }],
    });
  });

  it("refuses JSON that cannot be read, and keeps what was there", async () => {
    await open("start", []);
    const schema = await screen.findByRole("textbox", { name: "Input's JSON Schema" });
    fireEvent.change(schema, { target: { value: '{"type": "object"}' } });
    expect(config("start")).toEqual({ input_schema: { type: "object" } });
    fireEvent.change(schema, { target: { value: '{"type": ' } });
    expect(await screen.findByText(/JSON/, { selector: "[class*=error]" })).toBeTruthy();
    expect(config("start")).toEqual({ input_schema: { type: "object" } });
  });

  it("asks what a node needs of its pod, and removes what is emptied", async () => {
    await open("call", [
      finding({ node_id: "call", message: 'config.resources.cpu is "x"; accepted is an amount of CPUs' }),
    ]);
    expect(await screen.findAllByText(/^Is "x"; accepted is an amount of CPUs$/)).toHaveLength(1);
    fireEvent.change(screen.getByLabelText("Memory"), { target: { value: "2Gi" } });
    fireEvent.change(screen.getByLabelText("GPUs"), { target: { value: "1" } });
    expect(config("call")).toMatchObject({ resources: { memory: "2Gi", gpu: 1 } });
    fireEvent.change(screen.getByLabelText("Memory"), { target: { value: "" } });
    fireEvent.change(screen.getByLabelText("GPUs"), { target: { value: "" } });
    expect(config("call")).not.toHaveProperty("resources");
  });

  it("offers no executor to kinds that no pod runs", async () => {
    await open("choose", []);
    await screen.findByText("How it runs");
    expect(screen.queryByText("Executor")).toBeNull();
  });
});
