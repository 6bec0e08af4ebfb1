// What the form of an MCP server holds, and what of it is sent. Pure.

import type { McpServer } from "../../api/aliases";
import type { ServerChange, ServerDraft } from "./api";
import { type Approval, lineOf, type Transport, wordsOf } from "./model";

/** A header or variable; a stored value is never shown, and stays unless another one is given. */
export interface Pair {
  key: number;
  name: string;
  value: string;
  stored: boolean;
}

export interface ServerForm {
  name: string;
  serverKey: string;
  transport: Transport;
  url: string;
  command: string;
  pairs: Pair[];
  /** Stored ones that are to be removed. */
  removed: string[];
  enabled: boolean;
  timeout: number | string;
  approval: Approval;
  clientId: string;
  clientSecret: string;
}

export const emptyForm: ServerForm = {
  name: "",
  serverKey: "",
  transport: "streamable-http",
  url: "",
  command: "",
  pairs: [],
  removed: [],
  enabled: true,
  timeout: 60,
  approval: "never",
  clientId: "",
  clientSecret: "",
};

const kindOf = (transport: Transport) => (transport === "stdio" ? "env" : "header");

export function formOf(server: McpServer): ServerForm {
  const kind = kindOf(server.transport);
  return {
    ...emptyForm,
    name: server.name,
    serverKey: server.server_key,
    transport: server.transport,
    url: server.config.url ?? "",
    command: lineOf(
      [server.config.command ?? "", ...(server.config.args ?? [])].filter((w, i) => i > 0 || w),
    ),
    pairs: server.secrets
      .filter((s) => s.kind === kind)
      .map((s, i) => ({ key: i + 1, name: s.name, value: "", stored: true })),
    enabled: server.enabled,
    timeout: server.timeout_seconds,
    approval: server.approval,
    clientId: server.oauth_client_id,
  };
}

function configOf(form: ServerForm): { [key: string]: unknown } {
  if (form.transport !== "stdio") return { url: form.url.trim(), transport: form.transport };
  const [command = "", ...args] = wordsOf(form.command);
  return { command, args };
}

/** The values that were entered, and null for what is removed. */
function secretsOf(form: ServerForm): Record<string, string | null> {
  const out: Record<string, string | null> = {};
  for (const name of form.removed) out[name] = null;
  for (const { name, value, stored } of form.pairs) {
    if (name.trim() !== "" && (value !== "" || !stored)) out[name.trim()] = value;
  }
  return out;
}

const common = (form: ServerForm) => {
  const secrets = secretsOf(form);
  return {
    name: form.name.trim(),
    enabled: form.enabled,
    timeout_seconds: Number(form.timeout),
    approval: form.approval,
    ...(Object.keys(secrets).length > 0 &&
      (form.transport === "stdio" ? { env: secrets } : { headers: secrets })),
    ...(form.clientSecret !== "" && { oauth_client_secret: form.clientSecret }),
  };
};

export const draftOf = (form: ServerForm): ServerDraft => ({
  ...common(form),
  ...(form.serverKey.trim() !== "" && { server_key: form.serverKey.trim() }),
  config: configOf(form),
  ...(form.clientId.trim() !== "" && { oauth_client_id: form.clientId.trim() }),
});

/** What differs from the server as it is: an integrated one takes only some of it. */
export function changeOf(form: ServerForm, server: McpServer): ServerChange {
  const before = formOf(server);
  const { name, enabled, timeout_seconds, approval, ...secrets } = common(form);
  const config = configOf(form);
  return {
    ...(name !== before.name && { name }),
    ...(enabled !== before.enabled && { enabled }),
    ...(timeout_seconds !== before.timeout && { timeout_seconds }),
    ...(approval !== before.approval && { approval }),
    ...secrets,
    ...(form.serverKey.trim() !== before.serverKey && { server_key: form.serverKey.trim() }),
    ...(JSON.stringify(config) !== JSON.stringify(configOf(before)) && { config }),
    ...(form.clientId.trim() !== before.clientId && { oauth_client_id: form.clientId.trim() }),
  };
}

/** What is wrong, before anybody is asked; by field. */
export function faultsOf(
  form: ServerForm,
): Partial<Record<"name" | "serverKey" | "url" | "command" | "timeout", string>> {
  const timeout = Number(form.timeout);
  return {
    ...(form.name.trim() === "" && { name: "It needs a name." }),
    ...(!/^[A-Za-z0-9_-]{0,64}$/.test(form.serverKey.trim()) && {
      serverKey: "Letters, digits, _ and -, at most 64 of them.",
    }),
    ...(form.transport !== "stdio" &&
      !/^https?:\/\/\S+$/.test(form.url.trim()) && {
        url: "An address that begins with http:// or https://.",
      }),
    ...(form.transport === "stdio" &&
      wordsOf(form.command).length === 0 && { command: "The program to start." }),
    ...(!(timeout > 0 && timeout <= 3600) && { timeout: "More than 0 and at most 3600 seconds." }),
  };
}
