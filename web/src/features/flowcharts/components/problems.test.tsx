import { fireEvent, screen, within } from "@testing-library/react";
import { ReactFlowProvider } from "@xyflow/react";
import { describe, expect, it } from "vitest";
import { edge, node } from "../../../test/graphs";
import { show } from "../../../test/render";
import { useEditor } from "../store";
import { Problems } from "./problems";

const graph = {
  nodes: [node("start", "start"), node("ask", "task", {}, "Ask the model")],
  edges: [edge("e1", "start", "ask")],
};
const errors = [
  { node_id: "ask", edge_id: "", reason: "flow.missing_model", message: "The task has no model." },
  { node_id: "", edge_id: "e1", reason: "flow.bad_edge", message: "config.conditions[0]: is empty" },
];

describe("the list of problems", () => {
  it("names the place of each and leads to it", async () => {
    useEditor.getState().open(7, graph, 1, null, { valid: false, errors });
    await show(
      <ReactFlowProvider>
        <Problems />
      </ReactFlowProvider>,
    );
    const list = within(screen.getByRole("list", { name: "Problems" }));
    expect(list.getAllByRole("listitem").map((item) => item.textContent)).toEqual([
      "Ask the modelThe task has no model.",
      "Edge e1Is empty",
    ]);
    fireEvent.click(list.getByRole("button", { name: /no model/ }));
    expect([...useEditor.getState().selection.nodes]).toEqual(["ask"]);
    fireEvent.click(list.getByRole("button", { name: /Edge e1/ }));
    expect([...useEditor.getState().selection.edges]).toEqual(["e1"]);
  });

  it("can be folded, and gives way once nothing is wrong", async () => {
    useEditor.getState().open(7, graph, 1, null, { valid: false, errors });
    await show(
      <ReactFlowProvider>
        <Problems />
      </ReactFlowProvider>,
    );
    const toggle = screen.getByRole("button", { name: "2 problems" });
    fireEvent.click(toggle);
    expect(screen.queryByRole("list", { name: "Problems" })).toBeNull();
    expect(toggle.getAttribute("aria-expanded")).toBe("false");
    useEditor.getState().setFindings([]);
    expect(await screen.findByText("Ready to run")).toBeTruthy();
  });
});
