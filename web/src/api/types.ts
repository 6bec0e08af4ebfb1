// The shapes of the HTTP API, in one place. Wire names stay snake_case, so that
// these can be replaced by generated types without touching their users.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

export interface User {
  id: number;
  email: string;
  role: string;
}

export interface Me {
  user: User;
  setup_required: boolean;
}

export type RunStatus =
  | "queued"
  | "running"
  | "pausing"
  | "paused"
  | "cancelling"
  | "succeeded"
  | "failed"
  | "cancelled";

export type NodeStatus =
  | "pending"
  | "queued"
  | "running"
  | "waiting"
  | "cancelling"
  | "succeeded"
  | "degraded"
  | "failed"
  | "cancelled"
  | "skipped";

export interface Flowchart {
  id: number;
  name: string;
  description: string;
  version: number;
  max_node_executions: number | null;
  max_runtime_minutes: number | null;
  max_parallel_nodes: number | null;
  node_count: number;
  last_run: { id: number; status: RunStatus; created_at: string } | null;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
}

export type NodeKind =
  | "start"
  | "end"
  | "task"
  | "decision"
  | "http"
  | "script"
  | "rag"
  | "memory"
  | "plan"
  | "milestone"
  | "flowchart"
  | "approval";

export type EdgeMode = "solid" | "dotted" | "dashed";

export interface GraphNode {
  id: string;
  kind: NodeKind;
  title: string;
  position: { x: number; y: number };
  config: JsonObject;
}

export interface GraphEdge {
  id: string;
  source: string;
  target: string;
  mode: EdgeMode;
  label?: string;
  source_handle?: string;
  target_handle?: string;
}

export interface Graph {
  nodes: GraphNode[];
  edges: GraphEdge[];
}

export interface Finding {
  node_id: string;
  edge_id: string;
  reason: string;
  message: string;
}

export interface Validation {
  valid: boolean;
  errors: Finding[];
}

export interface GraphVersion extends Graph {
  flowchart_id: number;
  version: number;
  validation: Validation;
}

export interface RunError {
  code: string;
  message: string;
  retryable?: boolean;
  details?: Json;
  node_run_id?: number;
  node_id?: string;
}

export interface Usage {
  input_tokens: number;
  output_tokens: number;
}

export interface FlowchartRun {
  id: number;
  flowchart_id: number;
  flowchart_name?: string;
  version: number;
  status: RunStatus;
  input: Json;
  output: Json;
  error: RunError | null;
  retry_of: number | null;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  deadline_at: string | null;
  counts?: Record<string, number>;
  usage?: Usage;
}

export interface NodeRun {
  id: number;
  flowchart_node_id: string;
  kind: NodeKind;
  title: string;
  status: NodeStatus;
  attempt: number;
  execution_index: number;
  current_stage: string | null;
  output_state: Json;
  error: RunError | null;
  usage: Usage | null;
  created_at: string;
  queued_at: string | null;
  started_at: string | null;
  finished_at: string | null;
}

export interface AsOf {
  stream: string;
  sequence: number;
}

export interface RunDetail {
  flowchart_run: FlowchartRun;
  node_runs: NodeRun[];
  as_of: AsOf;
}

export interface TimelineAttempt {
  node_run_id: number;
  flowchart_node_id: string;
  title: string;
  kind: NodeKind;
  execution_index: number;
  attempt: number;
  status: string;
  worker: string;
  queued_at: string | null;
  claimed_at: string | null;
  started_at: string | null;
  first_token_at: string | null;
  finished_at: string | null;
  error: RunError | null;
  usage: Usage | null;
}

export interface Stage {
  key: string;
  label: string;
  status: string;
  started_at: string | null;
  finished_at: string | null;
  log_lines: number;
}

export interface Attempt {
  number: number;
  status: string;
  executor: string;
  worker_id: string;
  queued_at: string | null;
  claimed_at: string | null;
  started_at: string | null;
  first_token_at: string | null;
  finished_at: string | null;
  error: RunError | null;
  usage: Usage | null;
  stages: Stage[];
}

export interface NodeTask extends NodeRun {
  flowchart_id: number | null;
  flowchart_run_id: number | null;
  execution_mode: string | null;
  attempts: Attempt[];
  input_context: Json;
  routing_state: Json;
  runtime: JsonObject | null;
}

export interface NodeDetail {
  task: NodeTask;
  stages: Stage[];
  as_of: AsOf;
}

export interface LogItem {
  sequence: number;
  attempt: number;
  offset: number;
  stage: string;
  type: "log" | "delta";
  text: string;
  emitted_at: string;
}

export interface Envelope {
  contract_version: string;
  event_id: string;
  idempotency_key: string;
  sequence: number;
  sequence_stream: string;
  emitted_at: string;
  event_type: string;
  entity_kind: string;
  entity_id: string;
  room_keys: string[];
  request_id: string;
  correlation_id: string;
  runtime: JsonObject | null;
  payload: JsonObject;
}

export type ProviderKind = "openai" | "anthropic" | "gemini" | "demo";

export interface Provider {
  id: number;
  name: string;
  kind: ProviderKind;
  base_url: string;
  api_key_set: boolean;
  api_key_fingerprint: string;
  api_key_set_at: string | null;
  created_at: string;
  updated_at: string;
}

export interface ProviderTest {
  ok: boolean;
  latency_ms: number;
  message: string;
  kind?: string;
  models?: number;
}

export interface OfferedModel {
  id: string;
  name: string;
  context_tokens: number;
}

export interface Model {
  id: number;
  name: string;
  provider_id: number;
  provider_name: string;
  provider_kind: ProviderKind;
  model: string;
  config: JsonObject | null;
  created_at: string;
  updated_at: string;
}

export interface ApiKey {
  id: number;
  name: string;
  prefix: string;
  created_at: string;
  last_used_at: string | null;
}

export interface Worker {
  id: string;
  hostname: string;
  pid: number;
  version: string;
  slots: number;
  queues: string[];
  busy: number;
  beat_at: string;
  started_at: string;
}
