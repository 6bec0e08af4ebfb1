// Editing operations on a graph. Pure: every function gives a new graph and
// leaves what did not change identical, so that views can compare by reference.

import type {
  EdgeMode,
  Finding,
  Graph,
  GraphEdge,
  GraphNode,
  Json,
  JsonObject,
  NodeKind,
} from "../../api/aliases";

export const nodeSize = { width: 212, height: 62 };

export interface Point {
  x: number;
  y: number;
}

const titles: Record<NodeKind, string> = {
  start: "Start",
  end: "End",
  task: "Task",
  decision: "Decision",
  http: "HTTP request",
  script: "Script",
  rag: "Retrieval",
  memory: "Memory",
  plan: "Plan",
  milestone: "Milestone",
  flowchart: "Flowchart",
  approval: "Approval",
};

const firstConfig: Partial<Record<NodeKind, JsonObject>> = {
  task: { prompt: "" },
  decision: { conditions: [] },
  http: { method: "GET", url: "" },
  script: { script: "", shell: "sh" },
  rag: { mode: "query", source_ids: [], question: "" },
};

/** A free id that says what it is: task, task_2, task_3. */
export function freeId(taken: ReadonlySet<string>, wish: string): string {
  if (!taken.has(wish)) return wish;
  let n = 2;
  while (taken.has(`${wish}_${n}`)) n++;
  return `${wish}_${n}`;
}

const ids = (list: readonly { id: string }[]): Set<string> => new Set(list.map((item) => item.id));

export function addNode(graph: Graph, kind: NodeKind, position: Point): { graph: Graph; id: string } {
  const id = freeId(ids(graph.nodes), kind);
  const suffix = id === kind ? "" : ` ${id.slice(kind.length + 1)}`;
  const node: GraphNode = {
    id,
    kind,
    title: titles[kind] + suffix,
    position: { x: Math.round(position.x), y: Math.round(position.y) },
    config: structuredClone(firstConfig[kind] ?? {}),
  };
  return { graph: { ...graph, nodes: [...graph.nodes, node] }, id };
}

export function moveNodes(graph: Graph, positions: ReadonlyMap<string, Point>): Graph {
  let changed = false;
  const nodes = graph.nodes.map((node) => {
    const to = positions.get(node.id);
    if (!to || (to.x === node.position.x && to.y === node.position.y)) return node;
    changed = true;
    return { ...node, position: { x: to.x, y: to.y } };
  });
  return changed ? { ...graph, nodes } : graph;
}

export function updateNode(
  graph: Graph,
  id: string,
  change: Partial<Pick<GraphNode, "title" | "config">>,
): Graph {
  return { ...graph, nodes: graph.nodes.map((node) => (node.id === id ? { ...node, ...change } : node)) };
}

/** Sets one member of a node's config; undefined removes it. */
export function setConfig(graph: Graph, id: string, key: string, value: Json | undefined): Graph {
  const node = graph.nodes.find((n) => n.id === id);
  if (!node) return graph;
  const { [key]: _, ...rest } = node.config;
  return updateNode(graph, id, { config: value === undefined ? rest : { ...node.config, [key]: value } });
}

export interface Condition {
  edge_id: string;
  expression: string;
}

/** The conditions of a decision, whatever its config holds. */
export function conditionsOf(node: GraphNode): Condition[] {
  const raw = node.config.conditions;
  if (!Array.isArray(raw)) return [];
  return raw.flatMap((item) => {
    if (typeof item !== "object" || item === null || Array.isArray(item)) return [];
    const { edge_id, expression } = item;
    return typeof edge_id === "string" && typeof expression === "string" ? [{ edge_id, expression }] : [];
  });
}

/** Drops what decisions say about edges that no longer leave them. */
function tidyDecisions(graph: Graph): Graph {
  let changed = false;
  const nodes = graph.nodes.map((node) => {
    if (node.kind !== "decision") return node;
    const leaving = new Set(
      graph.edges.filter((e) => e.source === node.id && e.mode === "solid").map((e) => e.id),
    );
    const conditions = conditionsOf(node);
    const kept = conditions.filter((c) => leaving.has(c.edge_id));
    const byDefault = node.config.default_edge_id;
    const dropDefault = typeof byDefault === "string" && !leaving.has(byDefault);
    if (kept.length === conditions.length && !dropDefault) return node;
    changed = true;
    const config: JsonObject = { ...node.config, conditions: kept.map((c) => ({ ...c })) };
    if (dropDefault) delete config.default_edge_id;
    return { ...node, config };
  });
  return changed ? { ...graph, nodes } : graph;
}

export function remove(graph: Graph, nodeIds: ReadonlySet<string>, edgeIds: ReadonlySet<string>): Graph {
  const nodes = graph.nodes.filter((n) => !nodeIds.has(n.id));
  const edges = graph.edges.filter(
    (e) => !edgeIds.has(e.id) && !nodeIds.has(e.source) && !nodeIds.has(e.target),
  );
  if (nodes.length === graph.nodes.length && edges.length === graph.edges.length) return graph;
  return tidyDecisions({ ...graph, nodes, edges });
}

/** Why two nodes cannot be connected, or null. */
export function refusal(graph: Graph, source: string, target: string, mode: EdgeMode): string | null {
  const from = graph.nodes.find((n) => n.id === source);
  const to = graph.nodes.find((n) => n.id === target);
  if (!from || !to) return "Both ends of an edge must be nodes.";
  if (source === target) return "A node cannot be connected to itself.";
  if (from.kind === "end") return "Nothing leaves an end node.";
  if (to.kind === "start") return "Nothing leads into the start node.";
  if (graph.edges.some((e) => e.source === source && e.target === target && e.mode === mode))
    return "These nodes are already connected this way.";
  return null;
}

export function connect(graph: Graph, source: string, target: string, mode: EdgeMode): Graph {
  if (refusal(graph, source, target, mode)) return graph;
  const taken = ids(graph.edges);
  let n = graph.edges.length + 1;
  while (taken.has(`e${n}`)) n++;
  const edge: GraphEdge = { id: `e${n}`, source, target, mode };
  return { ...graph, edges: [...graph.edges, edge] };
}

export function setEdgeMode(graph: Graph, id: string, mode: EdgeMode): Graph {
  return tidyDecisions({ ...graph, edges: graph.edges.map((e) => (e.id === id ? { ...e, mode } : e)) });
}

/** Copies nodes and the edges among them; the start node is not copied, there is only one. */
export function duplicate(
  graph: Graph,
  nodeIds: ReadonlySet<string>,
  by: Point = { x: 40, y: 40 },
): { graph: Graph; copies: Set<string> } {
  const taken = ids(graph.nodes);
  const renamed = new Map<string, string>();
  const nodes: GraphNode[] = [];
  for (const node of graph.nodes) {
    if (!nodeIds.has(node.id) || node.kind === "start") continue;
    const id = freeId(taken, node.id.replace(/_\d+$/, ""));
    taken.add(id);
    renamed.set(node.id, id);
    nodes.push({
      ...structuredClone(node),
      id,
      position: { x: node.position.x + by.x, y: node.position.y + by.y },
    });
  }
  let next: Graph = { ...graph, nodes: [...graph.nodes, ...nodes] };
  const edgeNames = new Map<string, string>();
  for (const edge of graph.edges) {
    const source = renamed.get(edge.source);
    const target = renamed.get(edge.target);
    if (!source || !target) continue;
    next = connect(next, source, target, edge.mode);
    edgeNames.set(edge.id, next.edges.at(-1)?.id ?? edge.id);
  }
  const copies = new Set(renamed.values());
  return { graph: renameConditions(next, copies, edgeNames), copies };
}

function renameConditions(
  graph: Graph,
  copies: ReadonlySet<string>,
  names: ReadonlyMap<string, string>,
): Graph {
  const nodes = graph.nodes.map((node) => {
    if (!copies.has(node.id) || node.kind !== "decision") return node;
    const config: JsonObject = {
      ...node.config,
      conditions: conditionsOf(node).map((c) => ({ ...c, edge_id: names.get(c.edge_id) ?? c.edge_id })),
    };
    const byDefault = node.config.default_edge_id;
    if (typeof byDefault === "string") config.default_edge_id = names.get(byDefault) ?? byDefault;
    return { ...node, config };
  });
  return tidyDecisions({ ...graph, nodes });
}

const ragWork: Record<string, string> = {
  fresh_index: "Indexes afresh",
  delta_index: "Indexes what changed",
};

function ragSummary(node: GraphNode, question: string): string {
  const { mode, source_ids: ids } = node.config;
  const n = Array.isArray(ids) ? ids.length : 0;
  if (n === 0) return "No sources yet";
  const work = ragWork[String(mode)];
  const sources = `${n} source${n === 1 ? "" : "s"}`;
  return work ? `${work}: ${sources}` : question || "No question yet";
}

/** What a card says below its title. */
export function summary(node: GraphNode): string {
  const text = (key: string): string => {
    const value = node.config[key];
    return typeof value === "string" ? value.trim().replace(/\s+/g, " ") : "";
  };
  switch (node.kind) {
    case "start":
      return node.config.input_schema ? "The run's input, checked" : "The run's input";
    case "end":
      return "Gives the run's output";
    case "task":
      return text("prompt") || "No prompt yet";
    case "decision": {
      const n = conditionsOf(node).length;
      return n === 0
        ? "No condition yet"
        : `${n} condition${n === 1 ? "" : "s"}${text("default_edge_id") ? ", else default" : ""}`;
    }
    case "http":
      return text("url") ? `${text("method") || "GET"} ${text("url")}` : "No URL yet";
    case "script":
      return Array.isArray(node.config.command)
        ? node.config.command.join(" ")
        : text("script") || "No script yet";
    case "rag":
      return ragSummary(node, text("question"));
    default:
      return "Cannot run yet";
  }
}

export function findingsByNode(findings: readonly Finding[], graph: Graph): Map<string, Finding[]> {
  const byNode = new Map<string, Finding[]>();
  for (const finding of findings) {
    const id = finding.node_id || graph.edges.find((e) => e.id === finding.edge_id)?.source || "";
    const known = byNode.get(id);
    if (known) known.push(finding);
    else byNode.set(id, [finding]);
  }
  return byNode;
}

// --- undo and redo ---

export interface History {
  past: Graph[];
  present: Graph;
  future: Graph[];
  /** What the newest change was, so that the next of its kind joins it. */
  tag: string | null;
}

const historyLimit = 200;

export const newHistory = (present: Graph): History => ({ past: [], present, future: [], tag: null });

/** Records a change; changes in a row with the same tag (typing, dragging) are one step. */
export function commit(history: History, present: Graph, tag: string | null = null): History {
  if (present === history.present) return history;
  if (tag !== null && tag === history.tag) return { ...history, present, future: [] };
  return { past: [...history.past, history.present].slice(-historyLimit), present, future: [], tag };
}

/** Ends a row of changes, so that the next one is a step of its own. */
export const settle = (history: History): History =>
  history.tag === null ? history : { ...history, tag: null };

export function undo(history: History): History {
  const previous = history.past.at(-1);
  if (!previous) return history;
  return {
    past: history.past.slice(0, -1),
    present: previous,
    future: [history.present, ...history.future],
    tag: null,
  };
}

export function redo(history: History): History {
  const [next, ...rest] = history.future;
  if (!next) return history;
  return { past: [...history.past, history.present], present: next, future: rest, tag: null };
}
