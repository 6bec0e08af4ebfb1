import { type Edge, MarkerType } from "@xyflow/react";
import type { EdgeMode, Graph, GraphEdge } from "../../../api/aliases";
import { conditionsOf } from "../model";

export const modeText: Record<EdgeMode, { label: string; text: string }> = {
  solid: { label: "Solid", text: "starts the next node and hands over context and attachments" },
  dotted: { label: "Dotted", text: "hands over context only" },
  dashed: { label: "Dashed", text: "hands over attachments only" },
};

const dashes: Record<EdgeMode, string | undefined> = { solid: undefined, dotted: "1.5 5", dashed: "8 5" };
// Between two nodes there is room for this much; the inspector has all of it.
const maxLabel = 20;
const clip = (text: string): string => (text.length > maxLabel ? `${text.slice(0, maxLabel - 1)}…` : text);

/** What decisions say on the edges that leave them. */
export function edgeLabels(graph: Graph): Map<string, string> {
  const labels = new Map<string, string>();
  for (const node of graph.nodes) {
    if (node.kind !== "decision") continue;
    if (typeof node.config.default_edge_id === "string") labels.set(node.config.default_edge_id, "default");
    for (const c of conditionsOf(node)) if (c.expression) labels.set(c.edge_id, clip(c.expression));
  }
  return labels;
}

interface Look {
  selected?: boolean;
  color?: string | undefined;
  animated?: boolean;
  faint?: boolean;
}

export function toFlowEdge(edge: GraphEdge, label: string | undefined, look: Look): Edge {
  const color = look.selected ? "var(--st-accent)" : (look.color ?? "var(--st-line-strong)");
  const dash = dashes[edge.mode];
  // Other clients may have kept anything here.
  const own = typeof edge.label === "string" && edge.label !== "" ? edge.label : label;
  return {
    id: edge.id,
    source: edge.source,
    target: edge.target,
    selected: look.selected ?? false,
    animated: (look.animated ?? false) && edge.mode === "solid",
    interactionWidth: 18,
    ...(own ? { label: clip(own) } : {}),
    style: {
      stroke: color,
      strokeWidth: edge.mode === "solid" ? 1.8 : 1.6,
      strokeLinecap: "round",
      opacity: look.faint ? 0.45 : 1,
      ...(dash && { strokeDasharray: dash }),
    },
    markerEnd: { type: MarkerType.ArrowClosed, color, width: 16, height: 16 },
  };
}
