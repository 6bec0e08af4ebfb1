// What a conversation looks like, derived from what the server sent. Pure.

import type {
  AttachmentPart,
  ChatContext,
  ChatUsage,
  Citation,
  CompactionPart,
  Complexity,
  Message,
  MessagePart,
  Turn,
  TurnStatus,
} from "../../api/aliases";
import { duration } from "../../ui/format";
import type { LiveText, PlacedPart } from "./live";

export const complexities: { value: Complexity; label: string; hint: string }[] = [
  { value: "low", label: "Brief", hint: "A few sentences." },
  { value: "medium", label: "Normal", hint: "To the point, with what is needed to understand it." },
  { value: "high", label: "Thorough", hint: "Reasons, alternatives and examples." },
  { value: "extra_high", label: "Exhaustive", hint: "Every aspect in depth; costs the most." },
];

const final: ReadonlySet<TurnStatus> = new Set<TurnStatus>(["succeeded", "failed", "cancelled"]);
export const isFinalTurn = (status: TurnStatus): boolean => final.has(status);

/** A piece of a message as it is shown, in order. */
export type Piece =
  | { kind: "text"; key: string; text: string }
  | { kind: "tool"; key: string; call: ShownCall }
  | { kind: "compaction"; key: string; compaction: CompactionPart };

export interface ShownCall {
  id: string;
  /** Of the record of the call; null: it is not known yet. */
  recordId: number | null;
  name: string;
  server: string;
  status: string;
  arguments: string;
  result: string | null;
  truncated: boolean;
  durationMs: number | null;
  /** What its server said last of how far it is; null: nothing, or it does not run any more. */
  progress: string | null;
}

export interface Shown {
  pieces: Piece[];
  attachments: AttachmentPart[];
  citations: Citation[];
}

const textOfArguments = (args: unknown): string =>
  typeof args === "string" ? args : args === undefined || args === null ? "" : JSON.stringify(args);

const stem = (name: string): string => name.slice(name.indexOf("__") + 2);

function callOf(part: MessagePart, old: ShownCall | undefined): ShownCall | null {
  const { tool_call: call, tool_result: result } = part;
  if (call) {
    const status = call.status || old?.status || "running";
    return {
      id: call.id,
      recordId: call.tool_call_id ?? old?.recordId ?? null,
      name: call.server && call.name.includes("__") ? stem(call.name) : call.name,
      server: call.server ?? "",
      status,
      arguments: textOfArguments(call.arguments),
      result: old?.result ?? null,
      truncated: old?.truncated ?? false,
      durationMs: old?.durationMs ?? null,
      progress: status === "running" ? (call.progress ?? null) : null,
    };
  }
  if (!result) return null;
  const before = old ?? {
    id: result.call_id,
    recordId: null,
    name: result.name,
    server: "",
    status: "",
    arguments: "",
    durationMs: null,
    progress: null,
  };
  const open = !old || ["running", "waiting", "pending", "approved", ""].includes(old.status);
  return {
    ...before,
    status: open ? (result.is_error ? "failed" : "succeeded") : (old?.status ?? ""),
    result: result.content,
    truncated: result.truncated ?? false,
    durationMs: result.duration_ms ?? before.durationMs,
    progress: null,
  };
}

/** Sorts parts out: what stands in the text, in order, and what belongs to the whole message. */
export function shownParts(parts: readonly MessagePart[]): Shown {
  const pieces: Piece[] = [];
  const attachments: AttachmentPart[] = [];
  const citations: Citation[] = [];
  const calls = new Map<string, number>();
  for (const [i, part] of parts.entries()) {
    if (part.type === "attachment" && part.attachment) attachments.push(part.attachment);
    else if (part.type === "citation" && part.citation) citations.push(part.citation);
    else if (part.type === "compaction" && part.compaction)
      pieces.push({ kind: "compaction", key: `c${part.compaction.id}`, compaction: part.compaction });
    else if (part.type === "text" && part.text) pieces.push({ kind: "text", key: `t${i}`, text: part.text });
    else addCall(part, pieces, calls);
  }
  return { pieces, attachments, citations };
}

function addCall(part: MessagePart, pieces: Piece[], calls: Map<string, number>): void {
  const id = part.tool_call?.id ?? part.tool_result?.call_id;
  if (id === undefined) return;
  const at = calls.get(id);
  const old = at === undefined ? undefined : pieces[at];
  const call = callOf(part, old?.kind === "tool" ? old.call : undefined);
  if (!call) return;
  const piece: Piece = { kind: "tool", key: `k${id}`, call };
  if (at === undefined) calls.set(id, pieces.push(piece) - 1);
  else pieces[at] = piece;
}

/** The parts of a text that is still being written. */
export function partsOfLive(live: Pick<LiveText, "text" | "parts">): MessagePart[] {
  if (live.parts.length === 0) return live.text === "" ? [] : [{ type: "text", text: live.text }];
  const out: MessagePart[] = [];
  let at = 0; // code points
  let unit = 0; // of the string
  const textTo = (point: number) => {
    const from = unit;
    while (at < point && unit < live.text.length) {
      unit += (live.text.codePointAt(unit) ?? 0) > 0xffff ? 2 : 1;
      at++;
    }
    if (unit > from) out.push({ type: "text", text: live.text.slice(from, unit) });
  };
  for (const placed of [...live.parts].sort((a: PlacedPart, b: PlacedPart) => a.at - b.at)) {
    textTo(placed.at);
    out.push(placed.part);
  }
  if (unit < live.text.length) out.push({ type: "text", text: live.text.slice(unit) });
  return out;
}

const lostCode = "CHAT_WORKER_LOST";

/** Why a turn that goes on is at another attempt; null: nothing went wrong before. */
export function restartOf(turn: Turn): string | null {
  if (turn.attempt < 2 || turn.status === "queued" || isFinalTurn(turn.status) || !turn.error) return null;
  const why =
    turn.error.code === lostCode
      ? "the one before was lost with its worker"
      : "the provider could not answer the one before";
  return `Attempt ${turn.attempt}: ${why}, so the answer begins again.`;
}

/** When a turn whose provider was too busy is tried again; null: it does not wait for that. */
export const retryOf = (turn: Turn): string | null =>
  turn.status === "queued" && turn.error?.code !== lostCode ? (turn.retry_at ?? null) : null;

/** How long it is until then, in words. */
export function untilRetry(at: string, now: number): string {
  const left = Math.ceil((Date.parse(at) - now) / 1_000);
  if (left <= 0) return "trying again now";
  return `trying again in ${left < 60 ? `${left} s` : duration(left * 1_000)}`;
}

/** One line about an answer that is not there yet. */
export function progressOf(turn: Turn): string {
  switch (turn.status) {
    case "queued":
      if (turn.error?.code === lostCode) return "The worker is gone. Another one takes over";
      return turn.attempt > 0 ? "Goes on in a moment" : "Waiting for its turn";
    case "waiting":
      return "Waiting for an approval";
    case "cancelling":
      return "Stopping";
    default:
      if (turn.phase === "retrieving") return "Looking into the sources";
      if (turn.phase === "compacting") return "Folding older messages, so that there is room";
      return "Waiting for the model";
  }
}

/** Money in millionths of a currency. */
export function money(micros: number, currency: string): string {
  const value = micros / 1e6;
  const digits = value === 0 || value >= 1 ? 2 : value >= 0.01 ? 3 : 5;
  try {
    return new Intl.NumberFormat("en", {
      style: "currency",
      currency,
      minimumFractionDigits: 2,
      maximumFractionDigits: digits,
    }).format(value);
  } catch {
    return `${value.toFixed(digits)} ${currency}`;
  }
}

export const tokensOf = (usage: ChatUsage): number => usage.input_tokens + usage.output_tokens;

export interface ContextShare {
  key: "instructions" | "summary" | "history" | "message" | "retrieval" | "tools" | "reserve" | "free";
  label: string;
  tokens: number;
  /** Null where there is none. */
  budget: number | null;
}

/** What a model's window is filled with, and what is free of it. */
export function contextShares(context: ChatContext): ContextShare[] {
  const { used, budgets, answer_tokens, window_tokens } = context;
  const shares: ContextShare[] = [
    { key: "instructions", label: "Instructions", tokens: used.system, budget: null },
    { key: "summary", label: "Summary", tokens: used.summary, budget: null },
    { key: "history", label: "History", tokens: used.history, budget: budgets.history },
    { key: "message", label: "Message", tokens: used.message, budget: null },
    { key: "retrieval", label: "Retrieval", tokens: used.retrieval, budget: budgets.retrieval },
    { key: "tools", label: "Tools", tokens: used.tools, budget: budgets.tools },
    { key: "reserve", label: "Kept for the answer", tokens: answer_tokens, budget: null },
  ];
  const taken = shares.reduce((sum, s) => sum + s.tokens, 0);
  return [
    ...shares,
    { key: "free", label: "Free", tokens: Math.max(0, window_tokens - taken), budget: null },
  ];
}

/** What to do about a failure; the server's words say what happened. */
export function nextStep(turn: Pick<Turn, "reason_code" | "error">): string | null {
  switch (turn.reason_code) {
    case "CHAT_MODEL_NOT_CONFIGURED":
      return "Add a model under Models, or choose one for this thread.";
    case "CHAT_CONTEXT_EXCEEDED":
      return "Send a shorter message, leave an attachment out, or choose a model with a larger window.";
    case "CHAT_TURN_TIMEOUT":
      return "Ask for less at once, or raise the time-out under Settings, Threads.";
    case "RAG_UNAVAILABLE_FOR_SELECTED_COLLECTIONS":
    case "RAG_RETRIEVAL_EXECUTION_FAILED":
      return "Check the sources of this thread, or take them out of it.";
    case "CHAT_MCP_EXECUTION_FAILED":
      return "Test the servers of this thread under MCP, or take them out of it.";
    case "CHAT_WORKER_LOST":
      return "Regenerate it. If it happens again, look at the workers under Queues.";
    default:
      return turn.error?.retryable ? "Try it again." : null;
  }
}

/** The message whose version is shown after stepping to another one, if it is there. */
export const siblingAt = (message: Message, index: number): number | null =>
  message.siblings?.ids[index - 1] ?? null;

/** What the window was filled with at the newest turn that says so. */
export function latestContext(turns: readonly Turn[]): ChatContext | null {
  for (let i = turns.length - 1; i >= 0; i--) {
    const context = turns[i]?.context;
    if (context) return context;
  }
  return null;
}
