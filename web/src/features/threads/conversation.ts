// A conversation as it is held while it is open: what is shown of its messages, in
// order and without a gap, the turns that belong to them, and how events change
// both. Pure.

import {
  type Envelope,
  isObject,
  type LiveTurn,
  type Message,
  type Thread,
  type ToolCall,
  type Turn,
} from "../../api/aliases";
import { standing } from "../../realtime/stream";
import { isFinalTurn } from "./model";

export interface ConversationData {
  thread: Thread;
  /** Of the costs. */
  currency: string;
  /** From older to newer; each one follows the one before. */
  messages: Message[];
  turns: Turn[];
  live: LiveTurn[];
  /** Of the messages before the first; null: there are none. */
  older: string | null;
  /** Of the messages after the last, where an older place is looked at. */
  newer: string | null;
  /** Of the turns before those that are known. */
  turnsCursor: string | null;
  as_of: { stream: string; sequence: number };
}

export interface Step {
  next: ConversationData;
  /** The event does not say enough: load it again. */
  refetch: boolean;
}

const byDepth = (a: Message, b: Message): number => a.depth - b.depth;

/** A page of messages with the turns that they are of. */
export interface Loaded {
  messages: Message[];
  turns: Turn[];
  turnsCursor: string | null;
  /** Of what lies beyond the page. */
  next: string | null;
}

/** Puts older messages before those that are there, if they are what comes before. */
export function prepend(known: ConversationData, page: Loaded): ConversationData {
  const first = known.messages[0];
  const before = page.messages.filter((m) => !first || m.depth < first.depth).sort(byDepth);
  const last = before.at(-1);
  // Another version was chosen meanwhile.
  if (first && last && first.parent_id !== last.id) return known;
  return { ...known, ...turnsAfter(known, page), messages: [...before, ...known.messages], older: page.next };
}

const turnsAfter = (known: ConversationData, page: Loaded) => ({
  turns: mergeTurns(known.turns, page.turns),
  turnsCursor: page.turnsCursor,
});

/** Puts newer messages after those that are there. */
export function extend(known: ConversationData, page: Loaded): ConversationData {
  const last = known.messages.at(-1);
  const after = page.messages.filter((m) => !last || m.depth > last.depth).sort(byDepth);
  const first = after[0];
  if (last && first && first.parent_id !== last.id) return known;
  return { ...known, ...turnsAfter(known, page), messages: [...known.messages, ...after], newer: page.next };
}

/** What was loaded anew, with the older messages that were there, where they still come before it. */
export function reload(known: ConversationData | undefined, fresh: ConversationData): ConversationData {
  const first = fresh.messages[0];
  if (!known || !first) return fresh;
  const kept = known.messages.filter((m) => m.depth < first.depth);
  if (kept.at(-1)?.id !== first.parent_id) return fresh;
  return {
    ...fresh,
    messages: [...kept, ...fresh.messages],
    turns: mergeTurns(known.turns, fresh.turns),
    turnsCursor: known.turnsCursor,
    older: known.older,
  };
}

export function mergeTurns(known: readonly Turn[], news: readonly Turn[]): Turn[] {
  if (news.length === 0) return known as Turn[];
  const byId = new Map(known.map((t) => [t.id, t]));
  for (const turn of news) {
    const old = byId.get(turn.id);
    // What has ended does not change any more.
    if (!old || !isFinalTurn(old.status) || isFinalTurn(turn.status)) byId.set(turn.id, turn);
  }
  return [...byId.values()].sort((a, b) => a.id - b.id);
}

/** The conversation after a message that is new or has changed; null when it is not in what is shown. */
export function place(messages: Message[], news: Message): Message[] | null {
  const at = messages.findIndex((m) => m.id === news.id);
  if (at >= 0) {
    const old = messages[at];
    // Events do not count versions.
    const merged = { ...news, siblings: news.siblings ?? old?.siblings ?? null };
    return messages.map((m, i) => (i === at ? merged : m));
  }
  if (news.parent_id === null) return [news];
  const parent = messages.findIndex((m) => m.id === news.parent_id);
  if (parent < 0) return null;
  return [...messages.slice(0, parent + 1), news];
}

const isThread = (value: unknown): value is Thread => isObject(value) && typeof value.title === "string";
const isTurn = (value: unknown): value is Turn =>
  isObject(value) && typeof value.id === "number" && typeof value.status === "string";
const isMessage = (value: unknown): value is Message =>
  isObject(value) && typeof value.id === "number" && Array.isArray(value.parts);

export const threadOf = (e: Envelope): Thread | null =>
  isThread(e.payload.thread) ? e.payload.thread : null;

// After these, other messages are shown.
const turning = new Set(["branch", "cleared", "restored"]);

/** The conversation after an event of its thread. */
export function reduceConversation(known: ConversationData, e: Envelope): Step {
  const at = standing(known.as_of, e);
  if (at !== "next") return { next: known, refetch: at === "ahead" };
  const as_of = { stream: e.sequence_stream, sequence: e.sequence };
  const thread = threadOf(e) ?? known.thread;
  const base = { ...known, thread, as_of };
  if (e.event_type === "thread:thread:updated")
    return { next: base, refetch: turning.has(String(e.payload.change)) };
  const turn = e.payload.turn;
  if (!isTurn(turn)) return { next: base, refetch: false };
  return reduceTurn(
    base,
    turn,
    Array.isArray(e.payload.messages) ? e.payload.messages.filter(isMessage) : [],
  );
}

function reduceTurn(base: ConversationData, turn: Turn, news: Message[]): Step {
  let messages = base.messages;
  let refetch = false;
  for (const message of [...news].sort(byDepth)) {
    const isNew = !messages.some((m) => m.id === message.id);
    if (isNew && base.newer !== null) continue; // it comes with what is after
    const placed = place(messages, message);
    if (placed) messages = placed;
    // Beside another one: how many versions there are, the event does not say.
    if (isNew && turn.kind !== "message") refetch = true;
    if (!placed && isNew) refetch = true;
  }
  const ended = isFinalTurn(turn.status);
  const shown = messages.find((m) => m.id === turn.assistant_message_id);
  // A long answer is not in the event.
  if (ended && shown?.status === "pending") refetch = true;
  return {
    next: {
      ...base,
      messages,
      turns: mergeTurns(base.turns, [turn]),
      live: ended ? base.live.filter((l) => l.turn_id !== turn.id) : base.live,
    },
    refetch,
  };
}

/** The turns that have not ended, the one that is worked first. */
export const openTurns = (turns: readonly Turn[]): Turn[] => turns.filter((t) => !isFinalTurn(t.status));

/** The turn of each message that an answer can be in. */
export const turnsByAnswer = (turns: readonly Turn[]): Map<number, Turn> =>
  new Map(turns.map((t) => [t.assistant_message_id, t]));

/** What was decided of calls that still stand as waiting in their message: by anybody, and here just now. */
export function decisionsOf(
  calls: readonly Pick<ToolCall, "id" | "status" | "decided_at">[],
  own: ReadonlyMap<number, boolean>,
): ReadonlyMap<number, boolean> {
  const known = calls.filter((c) => c.decided_at !== null).map((c) => [c.id, c.status !== "denied"] as const);
  return new Map([...known, ...own]);
}
