// How MCP servers look, and what their form holds. Pure.

import type { McpServer, McpTest, McpTool } from "../../api/aliases";

export type Transport = McpServer["transport"];
export type Approval = McpServer["approval"];

export const transports: { value: Transport; label: string; hint: string }[] = [
  {
    value: "streamable-http",
    label: "Streamable HTTP",
    hint: "The current way over a network: one address for requests and streams.",
  },
  {
    value: "sse",
    label: "SSE",
    hint: "The older way over a network. Choose it only for servers that know no other.",
  },
  {
    value: "stdio",
    label: "Command",
    hint: "A program that workers start and speak to over its input and output.",
  },
];

export const approvals: { value: Approval; label: string; hint: string }[] = [
  { value: "never", label: "Never", hint: "Models call every allowed tool at once." },
  {
    value: "writes",
    label: "For writes",
    hint: "Tools that do not say that they only read wait for a person.",
  },
  { value: "always", label: "Always", hint: "Every call waits for a person." },
];

export type ServerState = "disabled" | "untested" | "needs_oauth" | "ok" | "failed";

export function stateOf(server: Pick<McpServer, "enabled" | "last_test">): ServerState {
  if (!server.enabled) return "disabled";
  if (!server.last_test) return "untested";
  if (server.last_test.ok) return "ok";
  return server.last_test.needs_oauth ? "needs_oauth" : "failed";
}

export const stateLooks: Record<ServerState, { status: string; label: string }> = {
  disabled: { status: "skipped", label: "Off" },
  untested: { status: "pending", label: "Not tested" },
  needs_oauth: { status: "waiting", label: "Needs sign-in" },
  ok: { status: "succeeded", label: "Works" },
  failed: { status: "failed", label: "Failed" },
};

/** The four results of a test, each with how it went. */
export function resultsOf(test: McpTest): { label: string; value: string; ok: boolean | null }[] {
  const listed = test.ok;
  const met = listed || Boolean(test.protocol_version);
  return [
    {
      label: "Initialize",
      value: met ? [test.server_name, test.server_version].filter(Boolean).join(" ") || "Answered" : "Failed",
      ok: met,
    },
    {
      label: "Tools",
      value: listed ? `${test.tools} in ${test.list_ms} ms` : met ? "Failed" : "Not asked",
      ok: listed ? true : met ? false : null,
    },
    { label: "Latency", value: met ? `${test.latency_ms} ms` : "–", ok: met ? true : null },
    { label: "Protocol", value: test.protocol_version || "–", ok: met ? true : null },
  ];
}

export const addressOfServer = (server: Pick<McpServer, "transport" | "config">): string =>
  server.transport === "stdio"
    ? [server.config.command, ...(server.config.args ?? [])].filter(Boolean).join(" ")
    : (server.config.url ?? "");

type Allowing = Pick<McpServer, "allow_all_tools" | "allowed_tools">;

export const allows = (server: Allowing, tool: string): boolean =>
  server.allow_all_tools || server.allowed_tools.includes(tool);

/** The list of allowed tools after one is switched. What is not offered at the moment stays on it. */
export function toggleAllowed(
  server: Allowing,
  tools: readonly Pick<McpTool, "name">[],
  name: string,
): string[] {
  return toggleIn(server.allow_all_tools ? tools.map((t) => t.name) : server.allowed_tools, name);
}

export const toggleIn = (list: readonly string[], name: string): string[] =>
  (list.includes(name) ? list.filter((n) => n !== name) : [...list, name]).toSorted();

/** A command line as its words; quotes hold words together. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  for (const match of line.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)) {
    const [, double, single, bare] = match;
    words.push(double !== undefined ? double.replace(/\\(["\\])/g, "$1") : (single ?? bare ?? ""));
  }
  return words;
}

export const lineOf = (words: readonly string[]): string =>
  words.map((w) => (w === "" || /[\s"']/.test(w) ? `"${w.replace(/(["\\])/g, "\\$1")}"` : w)).join(" ");

/** A key that a name suggests. */
export const keyFrom = (name: string): string =>
  name
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 64);

/** What an input schema asks for, as rows. */
export interface Parameter {
  name: string;
  type: string;
  required: boolean;
  description: string;
}

export function parametersOf(schema: unknown): Parameter[] {
  if (typeof schema !== "object" || schema === null) return [];
  const { properties, required } = schema as { properties?: unknown; required?: unknown };
  if (typeof properties !== "object" || properties === null) return [];
  const needed = new Set(Array.isArray(required) ? required.map(String) : []);
  return Object.entries(properties).map(([name, raw]) => {
    const of = (typeof raw === "object" && raw !== null ? raw : {}) as Record<string, unknown>;
    return {
      name,
      type: typeOf(of),
      required: needed.has(name),
      description: typeof of.description === "string" ? of.description : "",
    };
  });
}

function typeOf(of: Record<string, unknown>): string {
  if (Array.isArray(of.enum)) return of.enum.map((v) => JSON.stringify(v)).join(" | ");
  if (Array.isArray(of.type)) return of.type.join(" | ");
  if (of.type === "array" && typeof of.items === "object" && of.items !== null) {
    return `${typeOf(of.items as Record<string, unknown>)}[]`;
  }
  if (typeof of.type === "string") return of.type;
  return Array.isArray(of.anyOf) || Array.isArray(of.oneOf) ? "one of several" : "any";
}
