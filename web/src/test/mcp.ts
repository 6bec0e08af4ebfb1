import type { McpServer, McpTest, McpTool } from "../api/aliases";

export const mcpTest = (from: Partial<McpTest>): McpTest => ({
  ok: true,
  message: "It works: 3 tools.",
  latency_ms: 12,
  list_ms: 5,
  protocol_version: "2025-11-25",
  server_name: "files",
  server_version: "1.2",
  tools: 3,
  needs_oauth: false,
  tested_at: "2026-01-01T00:00:00Z",
  ...from,
});

export const mcpServer = (from: Partial<McpServer>): McpServer => ({
  id: 1,
  name: "Files",
  server_key: "files",
  server_type: "custom",
  transport: "streamable-http",
  config: { url: "https://h/mcp" },
  secrets: [],
  enabled: true,
  timeout_seconds: 60,
  allow_all_tools: true,
  allowed_tools: [],
  approval: "never",
  approval_tools: [],
  integrations: [],
  oauth: { connected: false, scopes: [], expires_at: null, refreshes: false, authorized_at: null },
  oauth_client_id: "",
  warnings: [],
  last_test: null,
  created_at: "2026-01-01T00:00:00Z",
  updated_at: "2026-01-01T00:00:00Z",
  ...from,
});

export const mcpTool = (from: Partial<McpTool>): McpTool => ({
  name: "read_file",
  model_name: "files__read_file",
  description: "Reads a file.",
  input_schema: { type: "object", properties: { path: { type: "string" } }, required: ["path"] },
  read_only: true,
  destructive: false,
  idempotent: true,
  open_world: false,
  allowed: true,
  needs_approval: false,
  ...from,
});
