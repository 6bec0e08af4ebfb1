import { describe, expect, it } from "vitest";
import type { EdgeMode, Graph, NodeKind } from "../../api/aliases";
import { autoLayout } from "./layout";
import {
  addNode,
  commit,
  conditionsOf,
  connect,
  duplicate,
  findingsByNode,
  moveNodes,
  newHistory,
  redo,
  refusal,
  remove,
  setConfig,
  setEdgeMode,
  settle,
  summary,
  undo,
} from "./model";

const node = (id: string, kind: NodeKind = "task", config = {}) => ({
  id,
  kind,
  title: id,
  position: { x: 0, y: 0 },
  config,
});
const edge = (id: string, source: string, target: string, mode: EdgeMode = "solid") => ({
  id,
  source,
  target,
  mode,
});

const graph: Graph = {
  nodes: [
    node("start", "start"),
    node("choose", "decision", {
      conditions: [
        { edge_id: "e2", expression: "true" },
        { edge_id: "e3", expression: "false" },
      ],
      default_edge_id: "e3",
    }),
    node("a"),
    node("b"),
    node("end", "end"),
  ],
  edges: [
    edge("e1", "start", "choose"),
    edge("e2", "choose", "a"),
    edge("e3", "choose", "b"),
    edge("e4", "a", "end"),
  ],
};

const find = (g: Graph, id: string) => {
  const found = g.nodes.find((n) => n.id === id);
  if (!found) throw new Error(`no node ${id}`);
  return found;
};

describe("adding and connecting", () => {
  it("gives free ids and titles", () => {
    const one = addNode(graph, "task", { x: 10.4, y: 3.6 });
    const two = addNode(one.graph, "task", { x: 0, y: 0 });
    expect([one.id, two.id]).toEqual(["task", "task_2"]);
    expect(find(one.graph, "task").position).toEqual({ x: 10, y: 4 });
    expect(find(two.graph, "task_2").title).toBe("Task 2");
  });

  it("does not share the first config between nodes", () => {
    const one = addNode(graph, "decision", { x: 0, y: 0 });
    const two = addNode(one.graph, "decision", { x: 0, y: 0 });
    expect(find(two.graph, one.id).config).not.toBe(find(two.graph, two.id).config);
  });

  it("refuses what cannot be, and says why", () => {
    expect(refusal(graph, "a", "a", "solid")).toContain("itself");
    expect(refusal(graph, "end", "a", "solid")).toContain("end node");
    expect(refusal(graph, "a", "start", "solid")).toContain("start node");
    expect(refusal(graph, "a", "nowhere", "solid")).toContain("nodes");
    expect(refusal(graph, "a", "end", "solid")).toContain("already");
    expect(refusal(graph, "a", "end", "dotted")).toBeNull();
    expect(connect(graph, "a", "a", "solid")).toBe(graph);
  });

  it("names edges without clashes", () => {
    const fewer = remove(graph, new Set(), new Set(["e1"]));
    const made = connect(fewer, "b", "end", "dashed");
    expect(new Set(made.edges.map((e) => e.id)).size).toBe(made.edges.length);
  });
});

describe("removing", () => {
  it("takes the edges of a node with it and tidies decisions", () => {
    const left = remove(graph, new Set(["b"]), new Set());
    expect(left.edges.map((e) => e.id)).toEqual(["e1", "e2", "e4"]);
    expect(conditionsOf(find(left, "choose")).map((c) => c.edge_id)).toEqual(["e2"]);
    expect(find(left, "choose").config.default_edge_id).toBeUndefined();
  });

  it("drops the condition of an edge that starts nothing any more", () => {
    const changed = setEdgeMode(graph, "e2", "dotted");
    expect(conditionsOf(find(changed, "choose")).map((c) => c.edge_id)).toEqual(["e3"]);
  });

  it("changes nothing when nothing matches", () => {
    expect(remove(graph, new Set(["x"]), new Set(["y"]))).toBe(graph);
  });
});

describe("duplicating", () => {
  it("copies nodes with the edges among them and renames conditions", () => {
    const { graph: more, copies } = duplicate(graph, new Set(["start", "choose", "a"]));
    expect([...copies].sort()).toEqual(["a_2", "choose_2"]);
    const copied = more.edges.find((e) => e.source === "choose_2");
    expect(copied?.target).toBe("a_2");
    expect(conditionsOf(find(more, "choose_2"))).toEqual([{ edge_id: copied?.id, expression: "true" }]);
    expect(conditionsOf(find(more, "choose"))).toHaveLength(2);
  });
});

describe("moving and configuring", () => {
  it("keeps what did not move identical", () => {
    const moved = moveNodes(graph, new Map([["a", { x: 5, y: 5 }]]));
    expect(find(moved, "b")).toBe(find(graph, "b"));
    expect(find(moved, "a").position).toEqual({ x: 5, y: 5 });
    expect(moveNodes(graph, new Map([["a", { x: 0, y: 0 }]]))).toBe(graph);
  });

  it("sets and removes a member", () => {
    const set = setConfig(graph, "a", "prompt", "Hello");
    expect(summary(find(set, "a"))).toBe("Hello");
    expect(find(setConfig(set, "a", "prompt", undefined), "a").config).toEqual({});
  });

  it("lays out without overlaps, parents left of children", () => {
    const laid = autoLayout(graph);
    for (const e of laid.edges) {
      expect(find(laid, e.source).position.x).toBeLessThan(find(laid, e.target).position.x);
    }
    expect(new Set(laid.nodes.map((n) => `${n.position.x}/${n.position.y}`)).size).toBe(laid.nodes.length);
  });
});

describe("findings", () => {
  it("puts an edge's finding at its source", () => {
    const finding = { node_id: "", edge_id: "e4", reason: "r", message: "m" };
    expect(findingsByNode([finding], graph).get("a")).toEqual([finding]);
  });
});

describe("history", () => {
  const at = (x: number) => moveNodes(graph, new Map([["a", { x, y: 0 }]]));

  it("goes back and forth", () => {
    let h = commit(commit(newHistory(graph), at(1)), at(2));
    h = undo(undo(h));
    expect(h.present).toBe(graph);
    expect(undo(h)).toBe(h);
    h = redo(h);
    expect(find(h.present, "a").position.x).toBe(1);
    expect(redo(redo(h)).future).toEqual([]);
  });

  it("joins changes of one kind into a step until it is settled", () => {
    let h = commit(newHistory(graph), at(1), "move");
    h = commit(h, at(2), "move");
    expect(h.past).toHaveLength(1);
    h = commit(settle(h), at(3), "move");
    expect(h.past).toHaveLength(2);
    expect(find(undo(h).present, "a").position.x).toBe(2);
  });

  it("forgets what was undone when something else is done", () => {
    const h = commit(undo(commit(newHistory(graph), at(1))), at(9));
    expect(h.future).toEqual([]);
  });

  it("is bounded", () => {
    let h = newHistory(graph);
    for (let i = 1; i <= 500; i++) h = commit(h, at(i));
    expect(h.past.length).toBe(200);
  });
});
