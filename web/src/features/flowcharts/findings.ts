// Which field of a node's form a finding is about. Pure.

import type { Finding } from "../../api/aliases";

// Reasons that name their field by themselves; the others begin with its path.
const fieldOfReason: Record<string, string> = {
  "flow.missing_prompt": "prompt",
  "flow.missing_model": "model_id",
  "flow.unknown_model": "model_id",
  "flow.invalid_method": "method",
  "flow.missing_url": "url",
  "flow.invalid_url": "url",
  "flow.missing_script": "script",
  "flow.fan_in_too_large": "fan_in",
  "flow.missing_question": "question",
  "flow.missing_sources": "source_ids",
};

const path = /^config\.([a-z_]+)((?:\[\d+\]|[./][\w-]+)*):?\s+/;

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** The config member that a finding is about, or null. */
export function fieldOf(finding: Finding): string | null {
  return fieldOfReason[finding.reason] ?? path.exec(finding.message)?.[1] ?? null;
}

/** A finding said without the path of the member that it is about. */
export const messageOf = (finding: Finding): string => sentence(finding.message.replace(path, ""));

/** What is wrong with one member, said without its path. */
export function errorOf(findings: readonly Finding[], key: string): string | undefined {
  const found = findings.find((f) => fieldOf(f) === key);
  return found && messageOf(found);
}

/** What is wrong with a member of a member, such as resources.cpu. */
export function errorAt(findings: readonly Finding[], place: string): string | undefined {
  const found = findings.find((f) =>
    new RegExp(`^config\\.${place.replaceAll(".", "\\.")}[:\\s]`).test(f.message),
  );
  return found && messageOf(found);
}

/** What is wrong with the condition of one edge; index is its place among the conditions. */
export function conditionError(
  findings: readonly Finding[],
  edgeId: string,
  index: number,
): string | undefined {
  const found = findings.find(
    (f) => f.edge_id === edgeId || (index >= 0 && f.message.startsWith(`config.conditions[${index}]`)),
  );
  return found && messageOf(found);
}

/** Findings that no field of the form shows are said above it. */
export const generalFindings = (findings: readonly Finding[], keys: readonly string[]): Finding[] =>
  findings.filter((f) => {
    const field = fieldOf(f);
    return field === null || !keys.includes(field);
  });
