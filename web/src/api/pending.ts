// Stands in for the generated types until they are there.
export interface UsageView {
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  estimated: boolean;
  cost_micros: number | null;
}
export interface ThreadView {
  id: number;
  title: string;
  title_source: "default" | "auto" | "user";
  status: "active" | "archived";
  model_id: number | null;
  response_complexity: "low" | "medium" | "high" | "extra_high";
  mcp_server_ids: number[];
  source_ids: number[];
  message_count: number;
  turn_count: number;
  usage: UsageView;
  busy: boolean;
  created_at: string;
  updated_at: string;
  last_activity_at: string;
  archived_at: string | null;
  deleted?: boolean;
  undo_until?: string;
}
export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
}
export interface ContextView { model_name: string; window_tokens: number; window_source: "model" | "settings"; answer_tokens: number; budgets: { history: number; retrieval: number; tools: number }; used: { system: number; summary: number; history: number; message: number; retrieval: number; tools: number; total: number }; trigger_tokens: number; target_tokens: number; token_ratio: number; messages: number; folded_messages: number; dropped_messages: number; measured_input_tokens: number | null }
export interface TurnView {
  id: number;
  thread_id: number;
  kind: "message" | "edit" | "branch" | "regenerate";
  status: "queued" | "running" | "waiting" | "cancelling" | "succeeded" | "failed" | "cancelled";
  phase: "" | "retrieving" | "compacting" | "answering";
  attempt: number;
  user_message_id: number;
  assistant_message_id: number;
  model_id: number | null;
  model_name: string;
  response_complexity: ThreadView["response_complexity"];
  reason_code: string;
  error: Failure | null;
  finish_reason: string;
  usage: UsageView;
  context: ContextView | null;
  order: { asked: "cancel"; asked_at: string; confirmed: boolean; confirmed_at: string | null } | null;
  created_at: string;
  started_at: string | null;
  first_token_at: string | null;
  finished_at: string | null;
}
export interface ToolCall {
  id: string;
  name: string;
  server?: string;
  server_id?: number;
  arguments: unknown;
  status?: string;
}
export interface ToolResult {
  call_id: string;
  name: string;
  content: string;
  is_error?: boolean;
  truncated?: boolean;
  blob?: string;
  duration_ms?: number;
}
export interface AttachmentPart {
  id: number;
  name: string;
  kind: "text" | "pdf" | "image";
  media_type: string;
  size: number;
  pages?: number;
}
export interface Citation {
  number: number;
  source_id: number;
  path: string;
  position?: string;
  text: string;
  score: number;
}
export interface CompactionPart {
  id: number;
  method: "model" | "excerpts";
  summary: string;
  through_message_id: number;
  messages: number;
  tokens_before: number;
  tokens_after: number;
  reason?: string;
}
export interface Part {
  type: "text" | "tool_call" | "tool_result" | "attachment" | "citation" | "compaction";
  text?: string;
  tool_call?: ToolCall;
  tool_result?: ToolResult;
  attachment?: AttachmentPart;
  citation?: Citation;
  compaction?: CompactionPart;
}
export interface Placed {
  offset: number;
  part: Part;
}
export interface MessageView {
  id: number;
  thread_id: number;
  parent_id: number | null;
  turn_id: number | null;
  role: "user" | "assistant";
  status: "pending" | "complete" | "partial" | "failed";
  content: string;
  parts: Part[];
  tokens: number;
  depth: number;
  siblings: { ids: number[]; index: number } | null;
  created_at: string;
  finished_at: string | null;
}
export interface Live {
  turn_id: number;
  message_id: number;
  attempt: number;
  text: string;
  parts: Placed[];
  as_of: { stream: string; sequence: number };
}
export interface Activity {
  id: number;
  thread_id: number;
  thread_title: string;
  turn_id: number | null;
  class: "thread_lifecycle" | "turn" | "retrieval_tool_usage" | "failure" | "compaction";
  action: string;
  reason_code: string;
  message: string;
  detail: unknown;
  user_id: number | null;
  request_id: string;
  created_at: string;
}
export interface MCPTest {
  ok: boolean;
  message: string;
  kind?: string;
  latency_ms: number;
  list_ms: number;
  protocol_version?: string;
  server_name?: string;
  server_version?: string;
  instructions?: string;
  tools: number;
  needs_oauth: boolean;
  tested_at: string;
}
export interface MCPServerView {
  id: number;
  name: string;
  server_key: string;
  server_type: "custom" | "integrated";
  transport: "streamable-http" | "sse" | "stdio";
  config: { url?: string; command?: string; args?: string[] };
  secrets: {
    kind: "header" | "env" | "oauth_client_secret";
    name: string;
    fingerprint: string;
    set_at: string;
  }[];
  enabled: boolean;
  timeout_seconds: number;
  allowed_tools: string[] | null;
  approval: "never" | "writes" | "always";
  approval_tools: string[];
  integrations: string[];
  oauth: {
    connected: boolean;
    issuer?: string;
    scopes: string[];
    expires_at: string | null;
    refreshes: boolean;
    client_id?: string;
    authorized_at: string | null;
  };
  oauth_client_id: string;
  warnings: string[];
  last_test: MCPTest | null;
  created_at: string;
  updated_at: string;
}
export interface MCPTool {
  name: string;
  model_name: string;
  title?: string;
  description: string;
  input_schema: unknown;
  output_schema?: unknown;
  read_only: boolean;
  destructive: boolean;
  idempotent: boolean;
  open_world: boolean;
  allowed: boolean;
  needs_approval: boolean;
  problem?: string;
}
export interface ChatSettingsView { on_busy: "queue" | "refuse"; max_queued_turns: number; history_percent: number; retrieval_percent: number; tools_percent: number; trigger_percent: number; target_percent: number; preserve_recent_turns: number; retrieval_top_k: number; default_context_window_tokens: number; summary_max_chars: number; default_model_id: number | null; default_response_complexity: "low" | "medium" | "high" | "extra_high"; turn_timeout_seconds: number; delete_undo_seconds: number; currency: string; prices: { model_id: number; input: number; cached_input: number; output: number }[] }
export interface ToolCallView { id: number; owner_kind: "node_run" | "turn"; owner_id: number; flowchart_run_id: number | null; flowchart_id: number | null; flowchart_node_id: string; owner_title: string; attempt: number; cycle: number; position: number; call_id: string; name: string; mcp_server_id: number | null; server_key: string; tool: string; arguments: string; repeatable: boolean; approval_required: boolean; status: "pending" | "waiting" | "approved" | "running" | "succeeded" | "failed" | "denied" | "unknown" | "cancelled"; error: string; result: string | null; result_bytes: number; result_cut: boolean; decided_by: string; decided_at: string | null; decision_note: string; created_at: string; started_at: string | null; finished_at: string | null; duration_ms: number | null }
