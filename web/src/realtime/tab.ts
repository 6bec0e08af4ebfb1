// One tab's side: the rooms that its components hold, what it has seen of each
// stream, and the line to whoever holds the browser's socket.

import type { Envelope } from "../api/aliases";
import { step, timerMs } from "./fallback";
import { type CarrierKind, type HubState, type Mark, startState, type ToHub, type ToTab } from "./messages";
import { StreamBook } from "./stream";

/** A line to the hub. */
export interface Carrier {
  readonly kind: CarrierKind;
  post: (message: ToHub) => void;
  /** The hub does not answer. False: this carrier can do nothing about it. */
  revive: () => boolean;
  close: () => void;
}

/** onFail: this carrier does not work here. */
export type OpenCarrier = (id: string, receive: (message: ToTab) => void, onFail: () => void) => Carrier;

export interface TabHandlers {
  onEvent: (envelope: Envelope) => void;
  /** What is shown of these rooms may be behind: load it again. */
  onResync: (rooms: string[]) => void;
  /** The session may have ended; whether it has, the server knows. */
  onSignedOut: () => void;
}

/** Holds the lock that tells others that a tab lives; resolves when it is held. */
export type HoldLock = (id: string) => Promise<{ locked: boolean; release: () => void }>;

interface Room {
  users: number;
  after: number | undefined;
}

export const beatMs = 5_000;
export const gapMs = 5_000;
/** How long a carrier may take to answer first; a worker's script has to be loaded. */
export const answerMs = 8_000;
const silentBeats = 2;

const newId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(9)), (b) => b.toString(36).padStart(2, "0")).join("");

export class TabClient {
  private readonly rooms = new Map<string, Room>();
  private readonly book = new StreamBook();
  private readonly listeners = new Set<() => void>();
  private readonly gaps = new Map<string, ReturnType<typeof setTimeout>>();
  private carriers: OpenCarrier[];
  private carrier: Carrier | undefined;
  private release: () => void = () => {};
  private locked = false;
  private state: HubState = startState("own");
  private mark: Mark | null = null;
  private lastEventAt: number | null = null;
  private beatTimer: ReturnType<typeof setInterval> | undefined;
  private connectTimer: ReturnType<typeof setTimeout> | undefined;
  private answerTimer: ReturnType<typeof setTimeout> | undefined;
  private beatAt = 0;
  private unanswered = 0;
  private running = 0;
  private joined = new Set<string>();
  private scheduled = false;

  /** The carriers are tried in this order; the last one always works. */
  constructor(
    carriers: OpenCarrier[],
    private readonly handlers: TabHandlers,
    private readonly hold: HoldLock,
  ) {
    this.carriers = carriers;
  }

  start(): void {
    const run = ++this.running;
    const id = newId();
    this.connectTimer = setTimeout(() => this.connectTimedOut(), timerMs("connect"));
    void this.hold(id).then(({ locked, release }) => {
      if (run !== this.running) {
        release();
        return;
      }
      this.release = release;
      this.locked = locked;
      this.open(id);
      this.beatAt = Date.now();
      this.beatTimer = setInterval(() => this.beat(id), beatMs);
    });
  }

  stop(signedOut: boolean): void {
    this.running++;
    clearInterval(this.beatTimer);
    clearTimeout(this.connectTimer);
    clearTimeout(this.answerTimer);
    for (const timer of this.gaps.values()) clearTimeout(timer);
    this.gaps.clear();
    this.carrier?.post({ t: "bye", signedOut });
    this.carrier?.close();
    this.carrier = undefined;
    this.release();
    this.release = () => {};
  }

  /** The page became visible or the network came back: do not wait. */
  retry(): void {
    this.carrier?.post({ t: "retry" });
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getState = (): HubState => this.state;

  lastEvent(): number | null {
    return this.lastEventAt;
  }

  /** Joins a room until the returned function is called; users are counted. */
  acquire(room: string, after?: number): () => void {
    const known = this.rooms.get(room);
    if (known) known.users++;
    else this.rooms.set(room, { users: 1, after });
    this.schedule();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const held = this.rooms.get(room);
      if (held && --held.users === 0) this.rooms.delete(room);
      this.schedule();
    };
  }

  /** A snapshot that was loaded over HTTP contains a stream up to sequence. */
  advance(stream: string, sequence: number): void {
    for (const e of this.book.advance(stream, sequence)) this.deliver(e);
    this.gapClosed(stream);
  }

  private open(id: string): void {
    const open = this.carriers[0];
    if (!open) return;
    this.unanswered = 0;
    clearTimeout(this.answerTimer);
    this.answerTimer = setTimeout(() => this.silent(id), answerMs);
    let carrier: Carrier | undefined;
    try {
      carrier = open(
        id,
        (message) => {
          if (carrier && carrier === this.carrier) this.onMessage(message);
        },
        () => {
          if (carrier && carrier === this.carrier) this.next(id);
        },
      );
    } catch {
      this.next(id); // not allowed here
      return;
    }
    this.carrier = carrier;
    this.hello();
  }

  private next(id: string): void {
    if (this.carriers.length < 2) return;
    this.carrier?.close();
    this.carrier = undefined;
    this.carriers = this.carriers.slice(1);
    this.open(id);
  }

  private silent(id: string): void {
    this.unanswered = 0;
    if (!this.carrier?.revive()) this.next(id);
  }

  // The hub begins with nothing of ours, or has lost it.
  private hello(): void {
    const rooms = [...this.rooms.keys()].map((room): [string, number | null] => [room, this.enter(room)]);
    this.joined = new Set(this.rooms.keys());
    this.carrier?.post({ t: "hello", rooms, mark: this.mark, locked: this.locked });
  }

  private enter(room: string): number | null {
    // What a selection has shown of the stream before says nothing of the whole.
    const known = this.joined.has(room) ? this.book.seen(room) : undefined;
    const after = known ?? this.rooms.get(room)?.after;
    this.book.join(room, after);
    this.gapClosed(room);
    return after ?? null;
  }

  private beat(id: string): void {
    const late = Date.now() - this.beatAt > 2 * beatMs;
    this.beatAt = Date.now();
    // After a sleep nobody can have answered yet.
    this.unanswered = late ? 0 : this.unanswered + 1;
    if (this.unanswered > silentBeats) this.silent(id);
    this.carrier?.post({ t: "beat" });
  }

  // Nobody holds a socket for us in time either: that is a failure to connect.
  private connectTimedOut(): void {
    if (this.state.link.timer !== "connect") return;
    this.setState({ ...this.state, link: step(this.state.link, { type: "timer", timer: "connect" }) });
  }

  private setState(state: HubState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.sync();
    });
  }

  private sync(): void {
    if (!this.carrier) return;
    const leave = [...this.joined].filter((room) => !this.rooms.has(room));
    const join = [...this.rooms.keys()].filter((room) => !this.joined.has(room));
    for (const room of leave) {
      this.joined.delete(room);
      this.book.leave(room);
      this.gapClosed(room);
    }
    const wanted = join.map((room): [string, number | null] => [room, this.enter(room)]);
    for (const room of join) this.joined.add(room);
    if (leave.length > 0) this.carrier.post({ t: "leave", rooms: leave });
    if (join.length > 0) this.carrier.post({ t: "join", rooms: wanted });
  }

  private onMessage(message: ToTab): void {
    this.unanswered = 0;
    clearTimeout(this.answerTimer);
    switch (message.t) {
      case "state":
        clearTimeout(this.connectTimer);
        this.setState(message.state);
        break;
      case "event":
        this.onEvent(message.event);
        break;
      case "mark":
        this.mark = message.mark;
        break;
      case "resync":
        this.resync(message.rooms);
        break;
      case "unknown":
        this.hello();
        break;
      case "signed_out":
        this.handlers.onSignedOut();
        break;
      case "beat":
        break;
    }
  }

  private onEvent(e: Envelope): void {
    const { deliver, missingAfter } = this.book.accept(e);
    for (const one of deliver) this.deliver(one);
    const stream = e.sequence_stream;
    if (missingAfter === undefined) {
      this.gapClosed(stream);
      return;
    }
    // What is missing is replayed; if it does not come, the whole is loaded again.
    this.carrier?.post({ t: "join", rooms: [[stream, missingAfter]] });
    clearTimeout(this.gaps.get(stream));
    this.gaps.set(
      stream,
      setTimeout(() => this.resync([stream]), gapMs),
    );
  }

  private gapClosed(stream: string): void {
    if (this.gaps.size === 0 || this.book.waiting(stream)) return;
    clearTimeout(this.gaps.get(stream));
    this.gaps.delete(stream);
  }

  private resync(rooms: string[]): void {
    for (const room of rooms) {
      for (const e of this.book.giveUp(room)) this.deliver(e);
      this.gapClosed(room);
    }
    this.handlers.onResync(rooms);
  }

  private deliver(e: Envelope): void {
    this.lastEventAt = Date.now();
    this.handlers.onEvent(e);
  }
}
