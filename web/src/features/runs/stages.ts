// What the stage in which a node run is now is called, where only its key is at hand: in lists and on events. The node's
// own answer has the labels. The rule is the one of the API: only the stage of the work itself is called after it. Pure.

import type { GraphNode } from "../../api/aliases";

const labels: Record<string, string> = {
  integration: "Integration",
  pre_init: "Pre Init",
  init: "Init",
  post_init: "Post Init",
  post_run: "Post Run",
};

const workLabels: Record<string, string> = {
  query: "LLM Query",
  indexing: "RAG Indexing",
  delta_indexing: "RAG Delta Indexing",
};

const modes: Record<string, string> = {
  query: "query",
  fresh_index: "indexing",
  delta_index: "delta_indexing",
};

/** How a node of a graph is executed; null for those that know no modes. */
export function executionModeOf(node: Pick<GraphNode, "kind" | "config">): string | null {
  const { mode } = node.config;
  return node.kind === "rag" && typeof mode === "string" ? (modes[mode] ?? null) : null;
}

export const stageLabel = (key: string, mode: string | null): string =>
  key === "llm_query" ? (workLabels[mode ?? ""] ?? "LLM Query") : (labels[key] ?? key);
