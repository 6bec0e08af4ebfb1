// Order and duplicates of events. A whole-stream room carries every event of
// its stream, so a missing number there is a gap; other rooms carry a
// selection, in order, and numbers may be skipped.

import type { Envelope } from "../api/types";

export type Verdict = "deliver" | "duplicate" | "gap";

const wholeStreamRooms = ["flowchart_run:", "thread:", "download_job:", "rag_source:"];
const rememberedKeys = 4096;

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
  private keys = new Set<string>();
  private olderKeys = new Set<string>();

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

  accept(e: Pick<Envelope, "sequence" | "sequence_stream" | "idempotency_key">): Verdict {
    if (this.keys.has(e.idempotency_key) || this.olderKeys.has(e.idempotency_key)) return "duplicate";
    const last = this.last.get(e.sequence_stream);
    if (last !== undefined && e.sequence <= last) return "duplicate";
    this.remember(e.idempotency_key);
    this.last.set(e.sequence_stream, e.sequence);
    const gap = last !== undefined && e.sequence > last + 1 && this.whole.has(e.sequence_stream);
    return gap ? "gap" : "deliver";
  }

  // Two generations, so that memory stays bounded without a clock.
  private remember(key: string): void {
    if (this.keys.size >= rememberedKeys) {
      this.olderKeys = this.keys;
      this.keys = new Set();
    }
    this.keys.add(key);
  }
}
