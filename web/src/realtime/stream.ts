// Order, duplicates and gaps of events, as one tab sees them. A whole-stream room
// carries every event of its stream, so a missing number there is a gap: what
// comes after it waits until the gap is filled or given up. Other rooms carry a
// selection, in order, and numbers may be skipped. Stream and number name an
// event; a room that is joined later may replay numbers that another room was
// ahead of, and those must be taken again.

import type { Envelope } from "../api/aliases";

export interface Accepted {
  /** To be shown now, in order. */
  deliver: Envelope[];
  /** Set where a gap begins: the number up to which the stream is complete. */
  missingAfter?: number;
}

type Numbered = Pick<Envelope, "sequence" | "sequence_stream">;

const wholeStreamRooms = ["flowchart_run:", "thread:", "download_job:", "rag_source:", "flowchart:"];
const maxHeld = 2_000;
const maxStreams = 5_000;

export const isWholeStreamRoom = (room: string): boolean =>
  wholeStreamRooms.some((prefix) => room.startsWith(prefix));

export function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== "object" || value === null) return false;
  const e = value as Partial<Record<keyof Envelope, unknown>>;
  return (
    e.contract_version === "v1" &&
    typeof e.event_type === "string" &&
    typeof e.sequence === "number" &&
    typeof e.sequence_stream === "string" &&
    typeof e.idempotency_key === "string" &&
    Array.isArray(e.room_keys) &&
    typeof e.payload === "object" &&
    e.payload !== null
  );
}

/**
 * How an event stands to a snapshot: "known" is in it or of another stream, "next" follows it. Before one
 * that is "ahead" others are missing, since a room with a selection was faster than the stream's own; taking
 * it would hide them.
 */
export function standing(
  asOf: { stream: string; sequence: number },
  e: Numbered,
): "known" | "next" | "ahead" {
  if (e.sequence_stream !== asOf.stream || e.sequence <= asOf.sequence) return "known";
  return e.sequence === asOf.sequence + 1 ? "next" : "ahead";
}

/** The last number of many streams; forgets those that were quiet longest. */
export class Cursors {
  private readonly last = new Map<string, number>();

  constructor(private readonly limit = maxStreams) {}

  get(stream: string): number | undefined {
    return this.last.get(stream);
  }

  set(stream: string, sequence: number, keep?: (stream: string) => boolean): void {
    this.last.delete(stream);
    this.last.set(stream, sequence);
    if (this.last.size <= this.limit) return;
    for (const old of this.last.keys()) {
      if (old === stream || keep?.(old)) continue;
      this.last.delete(old);
      return;
    }
  }

  delete(stream: string): void {
    this.last.delete(stream);
  }
}

/** Remembers how far each stream has been seen. */
export class StreamBook {
  private readonly last = new Cursors();
  private readonly whole = new Set<string>();
  private readonly held = new Map<string, Map<number, Envelope>>();

  /** The room was joined; its stream is known up to after, if that is given. */
  join(room: string, after?: number): void {
    if (!isWholeStreamRoom(room)) return;
    this.whole.add(room);
    this.held.delete(room);
    if (after === undefined) this.last.delete(room);
    else this.put(room, after);
  }

  leave(room: string): void {
    this.whole.delete(room);
    this.held.delete(room);
    this.last.delete(room);
  }

  /** A snapshot that contains everything up to sequence was loaded; gives what can be shown now. */
  advance(stream: string, sequence: number): Envelope[] {
    if (sequence > (this.last.get(stream) ?? -1)) this.put(stream, sequence);
    return this.drain(stream);
  }

  seen(stream: string): number | undefined {
    return this.last.get(stream);
  }

  waiting(stream: string): boolean {
    return this.held.has(stream);
  }

  accept(e: Envelope): Accepted {
    const stream = e.sequence_stream;
    const last = this.last.get(stream);
    if (last !== undefined && e.sequence <= last) return { deliver: [] };
    if (last === undefined || e.sequence === last + 1 || !this.whole.has(stream)) {
      this.put(stream, e.sequence);
      return { deliver: [e, ...this.drain(stream)] };
    }
    const held = this.held.get(stream);
    if (!held) {
      this.held.set(stream, new Map([[e.sequence, e]]));
      return { deliver: [], missingAfter: last };
    }
    held.set(e.sequence, e);
    return { deliver: held.size > maxHeld ? this.giveUp(stream) : [] };
  }

  /** What is missing does not come: gives what waited, and takes whatever comes next. */
  giveUp(stream: string): Envelope[] {
    const held = this.held.get(stream);
    this.held.delete(stream);
    this.last.delete(stream);
    if (!held) return [];
    const events = [...held.values()].sort(bySequence);
    this.put(stream, events.at(-1)?.sequence ?? 0);
    return events;
  }

  // What was waiting and now continues the stream, or is known.
  private drain(stream: string): Envelope[] {
    const held = this.held.get(stream);
    if (!held) return [];
    const out: Envelope[] = [];
    for (const e of [...held.values()].sort(bySequence)) {
      const last = this.last.get(stream) ?? 0;
      if (e.sequence > last + 1) break;
      held.delete(e.sequence);
      if (e.sequence <= last) continue;
      this.put(stream, e.sequence);
      out.push(e);
    }
    if (held.size === 0) this.held.delete(stream);
    return out;
  }

  private put(stream: string, sequence: number): void {
    this.last.set(stream, sequence, (old) => this.whole.has(old));
  }
}

export const bySequence = (a: Numbered, b: Numbered): number => a.sequence - b.sequence;
