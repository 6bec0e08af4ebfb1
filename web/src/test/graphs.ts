import type { FlowchartRun, Graph, GraphNode, LogItem, NodeRun } from "../api/aliases";

export const node = (
  id: string,
  kind: GraphNode["kind"],
  config: GraphNode["config"] = {},
  title = id,
): GraphNode => ({ id, kind, title, position: { x: 0, y: 0 }, config });

export const edge = (id: string, source: string, target: string): Graph["edges"][number] => ({
  id,
  source,
  target,
  mode: "solid",
});

export const at = (ms: number): string => new Date(Date.UTC(2026, 0, 1) + ms).toISOString();

export const flowchartRun = (more: Partial<FlowchartRun> = {}): FlowchartRun => ({
  id: 5,
  flowchart_id: 7,
  version: 1,
  status: "succeeded",
  input: {},
  output: null,
  error: null,
  retry_of: null,
  retry_from: null,
  paused_at: null,
  schedule_id: null,
  due_at: null,
  created_at: at(0),
  started_at: at(0),
  finished_at: at(2_000),
  deadline_at: null,
  ...more,
});

export const nodeRun = (more: Partial<NodeRun> = {}): NodeRun => ({
  id: 11,
  flowchart_node_id: "ask",
  kind: "task",
  title: "Ask",
  status: "succeeded",
  attempt: 1,
  execution_index: 1,
  current_stage: null,
  output_state: null,
  error: null,
  usage: null,
  created_at: at(0),
  queued_at: at(0),
  started_at: at(100),
  finished_at: at(1_100),
  reused_from: null,
  ...more,
});

export const logItem = (sequence: number, type: LogItem["type"], text: string): LogItem => ({
  sequence,
  attempt: 1,
  offset: 0,
  stage: "llm_query",
  type,
  text,
  emitted_at: at(100 + sequence),
});
