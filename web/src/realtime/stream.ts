// Order and duplicates of events. A whole-stream room carries every event of
// its stream, so a missing number there is a gap; other rooms carry a
// selection, in order, and numbers may be skipped. Stream and number name an
// event; a room that is joined later may replay numbers that another room was
// ahead of, and those must be taken again.

import type { Envelope } from "../api/aliases";

export type Verdict = "deliver" | "duplicate" | "gap";

const wholeStreamRooms = ["flowchart_run:", "thread:", "download_job:", "rag_source:"];

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
    typeof e.payload === "object" &&
    e.payload !== null
  );
}

/** Remembers how far each stream has been seen. */
export class StreamBook {
  private readonly last = new Map<string, number>();
  private readonly whole = new Set<string>();

  /** The room was joined; its stream is known up to after, if that is given. */
  join(room: string, after?: number): void {
    if (!isWholeStreamRoom(room)) return;
    this.whole.add(room);
    if (after === undefined) this.last.delete(room);
    else this.last.set(room, after);
  }

  leave(room: string): void {
    this.whole.delete(room);
    this.last.delete(room);
  }

  /** A snapshot that contains everything up to sequence was loaded. */
  advance(stream: string, sequence: number): void {
    if (sequence > (this.last.get(stream) ?? -1)) this.last.set(stream, sequence);
  }

  seen(stream: string): number | undefined {
    return this.last.get(stream);
  }

  accept(e: Pick<Envelope, "sequence" | "sequence_stream">): Verdict {
    const last = this.last.get(e.sequence_stream);
    if (last !== undefined && e.sequence <= last) return "duplicate";
    this.last.set(e.sequence_stream, e.sequence);
    const gap = last !== undefined && e.sequence > last + 1 && this.whole.has(e.sequence_stream);
    return gap ? "gap" : "deliver";
  }
}
