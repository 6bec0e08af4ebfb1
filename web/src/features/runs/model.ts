// What a run looks like, derived from what the server sent. Pure.

import {
  type Cancellation,
  type Envelope,
  type FlowchartRun,
  isObject,
  type JsonObject,
  type LogItem,
  type NodeRun,
  type NodeStatus,
  type Receipt,
  type RunDetail,
  type RunStatus,
} from "../../api/aliases";
import { standing } from "../../realtime/stream";
import { isFinalRun } from "./final";

const finalNode: ReadonlySet<NodeStatus> = new Set<NodeStatus>([
  "succeeded",
  "degraded",
  "failed",
  "cancelled",
  "skipped",
]);

export const isFinalNode = (status: NodeStatus): boolean => finalNode.has(status);

/** The run that an event carries, if it carries one. */
export function runOf(e: Envelope): FlowchartRun | null {
  const run = e.payload.flowchart_run;
  if (e.event_type !== "flowchart:run:updated" || !isObject(run) || typeof run.id !== "number") return null;
  return run as object as FlowchartRun;
}

// Null for these means "has none", not "left out".
const clearableOfRun: ReadonlySet<string> = new Set(["paused_at"]);

/** Events leave out what is large: a missing value never replaces a known one. */
export function mergeRun(known: FlowchartRun, news: FlowchartRun): FlowchartRun {
  const merged: FlowchartRun = { ...known };
  for (const [key, value] of Object.entries(news)) {
    if (value === undefined || (value === null && !clearableOfRun.has(key))) continue;
    Object.assign(merged, { [key]: value });
  }
  return merged;
}

/** What was asked to stop, after a receipt that a node's event brought. */
export function mergeReceipt(known: Cancellation | undefined, news: Receipt): Cancellation {
  const same = (r: Receipt) => r.node_run_id === news.node_run_id && r.attempt === news.attempt;
  const before = known?.receipts ?? [];
  const old = before.find(same);
  const receipts = old ? before.map((r) => (r === old ? news : r)) : [...before, news];
  return {
    asked_at: known?.asked_at ?? null,
    asked: (known?.asked ?? 0) + (old ? 0 : 1),
    confirmed: receipts.filter((r) => r.how !== null).length,
    receipts,
  };
}

function receiptOf(e: Envelope): Receipt | null {
  const receipt = e.payload.cancellation;
  if (!isObject(receipt) || typeof receipt.node_run_id !== "number") return null;
  return receipt as object as Receipt;
}

const nodeFields = [
  "flowchart_node_id",
  "kind",
  "title",
  "status",
  "attempt",
  "execution_index",
  "current_stage",
  "output_state",
  "error",
  "usage",
  "created_at",
  "queued_at",
  "started_at",
  "finished_at",
  "reused_from",
] as const;

// Absent for these means "has none", not "left out".
const clearable: ReadonlySet<string> = new Set(["current_stage", "started_at", "finished_at"]);

function mergeNode(known: NodeRun | undefined, id: number, payload: JsonObject): NodeRun | null {
  if (!known && (typeof payload.flowchart_node_id !== "string" || typeof payload.kind !== "string"))
    return null;
  const base = known ?? blankNode(id);
  const merged: NodeRun = { ...base };
  for (const field of nodeFields) {
    const value = payload[field];
    if (value === undefined || (value === null && !clearable.has(field))) continue;
    Object.assign(merged, { [field]: value });
  }
  return merged;
}

const blankNode = (id: number): NodeRun => ({
  id,
  flowchart_node_id: "",
  kind: "task",
  title: "",
  status: "pending",
  attempt: 1,
  execution_index: 1,
  current_stage: null,
  output_state: null,
  error: null,
  usage: null,
  created_at: "",
  queued_at: null,
  started_at: null,
  finished_at: null,
  reused_from: null,
});

/** The run after an event of its stream; "refetch" where the event does not say enough. */
export function reduceRun(detail: RunDetail, e: Envelope): RunDetail | "refetch" {
  const at = standing(detail.as_of, e);
  if (at === "known") return detail;
  if (at === "ahead") return "refetch";
  const as_of = { stream: e.sequence_stream, sequence: e.sequence };
  const run = runOf(e);
  if (run) {
    const merged = mergeRun(detail.flowchart_run, run);
    // The result is only in the event when it is small.
    if (isFinalRun(run.status) && run.output === null && run.status === "succeeded") return "refetch";
    return { ...detail, flowchart_run: merged, as_of };
  }
  if (!e.event_type.startsWith("node:task:") || e.entity_kind !== "task") return { ...detail, as_of };
  const id = Number(e.entity_id);
  const known = detail.node_runs.find((n) => n.id === id);
  const node = mergeNode(known, id, e.payload);
  if (!node || e.payload.output_omitted === true) return "refetch";
  const node_runs = known
    ? detail.node_runs.map((n) => (n.id === id ? node : n))
    : [...detail.node_runs, node];
  const receipt = receiptOf(e);
  const flowchart_run = receipt
    ? {
        ...detail.flowchart_run,
        cancellation: mergeReceipt(detail.flowchart_run.cancellation, receipt),
      }
    : detail.flowchart_run;
  return { ...detail, flowchart_run, node_runs, as_of };
}

/** How a node run is shown: what an earlier run did and what a pause holds have looks of their own. */
export function shownStatus(run: NodeRun, held = false): string {
  if (run.reused_from !== null && (run.status === "succeeded" || run.status === "degraded")) return "reused";
  return held && run.status === "pending" ? "held" : run.status;
}

export const isHeld = (status: RunStatus): boolean => status === "pausing" || status === "paused";

/** The newest execution of each node of the graph. */
export function latestByNode(nodeRuns: readonly NodeRun[]): Map<string, NodeRun> {
  const latest = new Map<string, NodeRun>();
  for (const node of nodeRuns) {
    const known = latest.get(node.flowchart_node_id);
    if (!known || node.id > known.id) latest.set(node.flowchart_node_id, node);
  }
  return latest;
}

export function usageOf(detail: RunDetail): { input: number; output: number } {
  let input = 0;
  let output = 0;
  for (const node of detail.node_runs) {
    input += node.usage?.input_tokens ?? 0;
    output += node.usage?.output_tokens ?? 0;
  }
  return { input, output };
}

const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;

/** One line that says what is happening now. */
export function headline(detail: RunDetail): string {
  const run = detail.flowchart_run;
  const titles = (status: NodeStatus) =>
    detail.node_runs.filter((n) => n.status === status).map((n) => n.title || n.flowchart_node_id);
  const name = (list: string[]) => (list.length > 2 ? plural(list.length, "node") : list.join(" and "));
  switch (run.status) {
    case "queued":
      return "Waiting to start";
    case "cancelling":
      return "Cancelling: waiting for what still runs to stop";
    case "pausing": {
      const running = titles("running");
      return running.length > 0
        ? `Pausing: ${name(running)} still ends by itself, nothing else begins`
        : "Pausing: nothing else begins";
    }
    case "paused": {
      const held = titles("pending");
      return held.length > 0 ? `Paused before ${name(held)}` : "Paused";
    }
    case "succeeded": {
      const ended = detail.node_runs.filter((n) => isFinalNode(n.status));
      const reused = ended.filter((n) => n.reused_from !== null).length;
      return `Finished after ${plural(ended.length - reused, "node")}${reused > 0 ? `, ${reused} reused` : ""}`;
    }
    case "cancelled":
      return run.error?.message ?? "Cancelled";
    case "failed":
      return run.error?.message ?? "Failed";
    case "running": {
      const running = titles("running");
      if (running.length > 0) return `Running ${name(running)}`;
      const waiting = titles("waiting");
      if (waiting.length > 0) return `${name(waiting)} is waiting`;
      const queued = [...titles("queued"), ...titles("pending")];
      return queued.length > 0 ? `${name(queued)} is waiting for a free worker` : "Choosing what runs next";
    }
  }
}

/** A log item from an event of a node_log stream. */
export function logItemOf(e: Envelope): LogItem | null {
  const { attempt, offset, text, stage } = e.payload;
  if (typeof text !== "string") return null;
  return {
    sequence: e.sequence,
    attempt: typeof attempt === "number" ? attempt : 1,
    offset: typeof offset === "number" ? offset : 0,
    stage: typeof stage === "string" ? stage : "",
    type: e.event_type === "node:task:delta" ? "delta" : "log",
    text,
    emitted_at: e.emitted_at,
  };
}

/** Adds items in order, drops doubles, and tells whether a number is missing before them. */
export function mergeLogs(
  known: LogItem[],
  incoming: readonly LogItem[],
): { merged: LogItem[]; gap: boolean } {
  const last = known.at(-1)?.sequence ?? 0;
  const first = incoming[0]?.sequence;
  const inOrder = incoming.every((item, i) => item.sequence === (first ?? 0) + i);
  if (first === undefined) return { merged: known, gap: false };
  if (first === last + 1 && inOrder) return { merged: [...known, ...incoming], gap: false };
  const bySequence = new Map(known.map((item) => [item.sequence, item]));
  const before = bySequence.size;
  for (const item of incoming) if (!bySequence.has(item.sequence)) bySequence.set(item.sequence, item);
  if (bySequence.size === before) return { merged: known, gap: false };
  const merged = [...bySequence.values()].sort((a, b) => a.sequence - b.sequence);
  const tail = merged.filter((item) => item.sequence > last);
  return { merged, gap: tail.some((item, i) => item.sequence !== last + 1 + i) };
}

/** The text that a model streamed in an attempt. */
export function streamedText(items: readonly LogItem[], attempt: number): string {
  let text = "";
  for (const item of items) if (item.type === "delta" && item.attempt === attempt) text += item.text;
  return text;
}
