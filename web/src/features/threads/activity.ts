// The classes and deeds of the activity log in words. Pure.

import type { ChatActivity } from "../../api/aliases";
import { count } from "../../ui/format";
import type { ActivityClass } from "./activity-classes";
import { money } from "./model";

export const activityClasses: { value: ActivityClass; label: string }[] = [
  { value: "thread_lifecycle", label: "Threads" },
  { value: "turn", label: "Turns" },
  { value: "retrieval_tool_usage", label: "Retrieval and tools" },
  { value: "compaction", label: "Compaction" },
  { value: "failure", label: "Failures" },
];

const words: Record<string, string> = {
  created: "Thread begun",
  archived: "Thread archived",
  restored: "Thread restored",
  deleted: "Thread deleted",
  cleared: "Thread cleared",
  turn_requested: "Message sent",
  turn_responded: "Answered",
  turn_cancelled: "Answer stopped",
  retrieval_used: "Sources looked into",
  tool_used: "Tool called",
  failed: "Answer failed",
  compacted: "Messages folded",
};

export const deedOf = (activity: Pick<ChatActivity, "action">): string =>
  words[activity.action] ?? activity.action;

const plain: Record<string, (value: unknown, currency: string) => string> = {
  kind: (value) => (value === "message" ? "" : String(value)),
  model: String,
  attempts: (value) => (value === 1 ? "" : `${value} attempts`),
  cost_micros: (value, currency) => money(Number(value), currency),
  input_tokens: (value) => `${count(Number(value))} tokens in`,
  output_tokens: (value) => `${count(Number(value))} out`,
  characters: (value) => `${count(Number(value))} characters`,
  messages: (value) => `${count(Number(value))} messages`,
};

/** The details of an entry in one line. */
export function detailOf(detail: unknown, currency: string): string {
  if (typeof detail !== "object" || detail === null) return "";
  return Object.entries(detail)
    .filter(([, value]) => value !== null && value !== "" && typeof value !== "object")
    .map(([name, value]) => plain[name]?.(value, currency) ?? `${name.replaceAll("_", " ")} ${value}`)
    .filter((words) => words !== "")
    .join(" · ");
}
