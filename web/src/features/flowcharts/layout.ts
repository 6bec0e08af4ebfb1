import dagre from "@dagrejs/dagre";
import type { Graph } from "../../api/aliases";
import { moveNodes, nodeSize, type Point } from "./model";

/** Lays the graph out from left to right. */
export function autoLayout(graph: Graph): Graph {
  const g = new dagre.graphlib.Graph({ multigraph: true });
  g.setGraph({ rankdir: "LR", nodesep: 36, ranksep: 96, marginx: 0, marginy: 0 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const node of graph.nodes) g.setNode(node.id, { ...nodeSize });
  // Edges that start nothing shape the picture less.
  for (const edge of graph.edges)
    g.setEdge(edge.source, edge.target, { weight: edge.mode === "solid" ? 3 : 1 }, edge.id);
  dagre.layout(g);
  const positions = new Map<string, Point>();
  for (const node of graph.nodes) {
    const { x = 0, y = 0 } = g.node(node.id);
    positions.set(node.id, { x: snap(x - nodeSize.width / 2), y: snap(y - nodeSize.height / 2) });
  }
  return moveNodes(graph, positions);
}

const grid = 10;
const snap = (value: number): number => Math.round(value / grid) * grid;
