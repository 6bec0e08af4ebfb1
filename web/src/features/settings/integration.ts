// Integrations as their forms hold them. Pure.

import type { Integration } from "../../api/aliases";
import { ApiError } from "../../api/client";

// The document lists what can be set, but of what is not set yet not whether it is secret.
const secrets: ReadonlySet<string> = new Set(["pat", "api_token", "service_account_json"]);

export const isSecret = (member: string): boolean => secrets.has(member);

const labels: Record<string, string> = {
  api_url: "API URL",
  pat: "Personal access token",
  url: "URL",
  email: "Email",
  api_token: "API token",
  host: "Host",
  port: "Port",
  ssl: "TLS (true or false)",
  project_id: "Project",
  impersonate_user: "User to act as",
  service_account_json: "Service account (JSON)",
};

export const labelOf = (member: string): string => labels[member] ?? member;

/** What is sent: null removes a member; an untouched or emptied secret stays. */
export function changeOf(
  of: Integration,
  typed: Readonly<Record<string, string | null>>,
): Record<string, string | null> {
  const change: Record<string, string | null> = {};
  for (const [member, text] of Object.entries(typed)) {
    if (text === null) change[member] = null;
    else if (isSecret(member)) {
      if (text !== "") change[member] = text;
    } else if (text !== (of.config[member] ?? "")) change[member] = text === "" ? null : text;
  }
  return change;
}

/** What the server found wrong with a member. */
export function faultAt(error: unknown, member: string): string | null {
  if (!(error instanceof ApiError)) return null;
  return error.errors.find((e) => e.location === `body.${member}`)?.message ?? null;
}
