// The text of turns that run, as it comes. It lives outside of the query cache:
// one word more must not make a whole conversation again. Whoever shows a turn
// is told once a frame.

import type { MessagePart } from "../../api/aliases";

export interface Chunk {
  attempt: number;
  /** In characters (code points), of the attempt's text. */
  offset: number;
  text: string;
  /** Something that is not text, such as a tool call, at this place of it. */
  part?: MessagePart | undefined;
  sequence: number;
}

export interface PlacedPart {
  /** The code points of text before it. */
  at: number;
  part: MessagePart;
}

export interface LiveText {
  attempt: number;
  text: string;
  /** Code points of text. */
  length: number;
  parts: PlacedPart[];
  /** The stream's last number that is in it. */
  sequence: number;
}

export const emptyText: LiveText = { attempt: 0, text: "", length: 0, parts: [], sequence: 0 };

export function codePoints(text: string): number {
  let n = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    // The second half of a pair is not a character of its own.
    if (unit < 0xdc00 || unit > 0xdfff || i === 0 || (text.charCodeAt(i - 1) & 0xfc00) !== 0xd800) n++;
  }
  return n;
}

function dropPoints(text: string, n: number): string {
  let at = 0;
  for (let i = 0; i < n && at < text.length; i++) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return text.slice(at);
}

/** The text after a chunk; "gap" when something before it is missing. */
export function append(live: LiveText, chunk: Chunk): LiveText | "gap" {
  if (chunk.attempt < live.attempt) return live; // of an attempt that was given up
  const base = chunk.attempt > live.attempt ? { ...emptyText, attempt: chunk.attempt } : live;
  if (chunk.offset > base.length) return "gap";
  const fresh = dropPoints(chunk.text, base.length - chunk.offset);
  const sequence = Math.max(live.sequence, chunk.sequence);
  // Text is known by its place, anything else by its number.
  const news = chunk.part !== undefined && chunk.sequence > live.sequence;
  if (fresh === "" && !news && base === live)
    return sequence === live.sequence ? live : { ...live, sequence };
  return {
    attempt: chunk.attempt,
    text: base.text + fresh,
    length: base.length + codePoints(fresh),
    parts: news && chunk.part ? [...base.parts, { at: chunk.offset, part: chunk.part }] : base.parts,
    sequence,
  };
}

type Listener = () => void;

/** Fetches what came after a number of a turn's stream. */
export type FetchChunks = (turn: number, after: number) => Promise<Chunk[]>;

const maxTurns = 50;
const hiddenMs = 250;

export class LiveTexts {
  private readonly texts = new Map<number, LiveText>();
  private readonly listeners = new Map<number, Set<Listener>>();
  private readonly dirty = new Set<number>();
  private readonly filling = new Map<number, Chunk[]>();
  private scheduled = false;

  constructor(private readonly fetchChunks: FetchChunks) {}

  readonly get = (turn: number): LiveText => this.texts.get(turn) ?? emptyText;

  readonly subscribe = (turn: number, listener: Listener): (() => void) => {
    const known = this.listeners.get(turn) ?? new Set();
    this.listeners.set(turn, known.add(listener));
    return () => {
      known.delete(listener);
      if (known.size === 0) this.listeners.delete(turn);
    };
  };

  /** What a snapshot says of a running turn; older than what is known, it says nothing. */
  seed(turn: number, snapshot: Omit<LiveText, "length">): void {
    const known = this.texts.get(turn);
    const length = codePoints(snapshot.text);
    if (known) {
      if (known.attempt > snapshot.attempt) return;
      if (known.attempt === snapshot.attempt && known.sequence >= snapshot.sequence) return;
    }
    this.put(turn, { ...snapshot, length });
  }

  apply(turn: number, chunk: Chunk): void {
    const waiting = this.filling.get(turn);
    if (waiting) {
      waiting.push(chunk);
      return;
    }
    const next = append(this.get(turn), chunk);
    if (next === "gap") void this.fill(turn, chunk);
    else this.put(turn, next);
  }

  forget(turn: number): void {
    this.texts.delete(turn);
    this.tell(turn);
  }

  // What is missing is in the log; what comes meanwhile waits, so that order holds.
  private async fill(turn: number, first: Chunk): Promise<void> {
    const waiting = [first];
    this.filling.set(turn, waiting);
    const { sequence } = this.get(turn);
    const missing = await this.fetchChunks(turn, sequence).catch((): Chunk[] => []);
    this.filling.delete(turn);
    for (const chunk of [...missing, ...waiting]) {
      const next = append(this.get(turn), chunk);
      // Still a gap: the log does not reach back so far. The stored message will say it all.
      if (next !== "gap") this.put(turn, next);
    }
  }

  private put(turn: number, text: LiveText): void {
    if (this.texts.get(turn) === text) return;
    this.texts.delete(turn);
    this.texts.set(turn, text);
    const oldest = this.texts.keys().next().value;
    if (this.texts.size > maxTurns && oldest !== undefined) this.texts.delete(oldest);
    this.tell(turn);
  }

  private tell(turn: number): void {
    this.dirty.add(turn);
    if (this.scheduled) return;
    this.scheduled = true;
    // A hidden page has no frames.
    if (document.visibilityState === "hidden") setTimeout(this.flush, hiddenMs);
    else requestAnimationFrame(this.flush);
  }

  private readonly flush = (): void => {
    this.scheduled = false;
    const turns = [...this.dirty];
    this.dirty.clear();
    for (const turn of turns) for (const listener of this.listeners.get(turn) ?? []) listener();
  };
}
