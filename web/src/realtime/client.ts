// The socket. Nothing outside this folder knows that there is one: others name
// rooms and get cache patches.

import { io, type Socket } from "socket.io-client";
import type { Envelope } from "../api/aliases";
import { type Link, type LinkEvent, startLink, step, type Timer, timerMs } from "./fallback";
import { isEnvelope, StreamBook, type Verdict } from "./stream";

export interface RealtimeOptions {
  origin: string;
  path: string;
  transports: ("websocket" | "polling")[];
}

export interface RealtimeHandlers {
  onEvent: (envelope: Envelope, verdict: Exclude<Verdict, "duplicate">) => void;
  /** What is shown of these rooms may be behind: load it again. */
  onResync: (rooms: string[]) => void;
  onUnauthenticated: () => void;
}

interface Ack {
  ok: boolean;
  rooms?: string[];
  denied?: { room: string; reason: string }[];
  position?: string;
  resync?: string[];
  error?: { code: string; reason: string; message: string };
}

interface Room {
  users: number;
  after: number | undefined;
}

const ackTimeoutMs = 10_000;
const retryMs = 5_000;

export class RealtimeClient {
  private readonly socket: Socket;
  private readonly rooms = new Map<string, Room>();
  private readonly joined = new Set<string>();
  private readonly book = new StreamBook();
  private readonly listeners = new Set<() => void>();
  private link: Link = startLink();
  private linkTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private position: string | undefined;
  private scheduled = false;

  constructor(
    options: RealtimeOptions,
    private readonly handlers: RealtimeHandlers,
  ) {
    this.socket = io(`${options.origin}/rt`, {
      path: options.path,
      transports: options.transports,
      tryAllTransports: true,
      withCredentials: true,
      autoConnect: false,
      timeout: 4_000,
      reconnectionDelayMax: 5_000,
    });
    this.socket.on("connect", () => this.onConnect());
    this.socket.on("disconnect", (reason) => this.onDisconnect(reason));
    this.socket.on("connect_error", (error: Error & { data?: { code?: string } }) =>
      this.onConnectError(error),
    );
    this.socket.onAny((name: string, body: unknown) => this.onMessage(name, body));
  }

  start(): void {
    this.runTimer(this.link.timer);
    this.socket.connect();
  }

  stop(): void {
    clearTimeout(this.linkTimer);
    clearTimeout(this.retryTimer);
    this.socket.removeAllListeners();
    this.socket.offAny();
    this.socket.disconnect();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getLink = (): Link => this.link;

  /** Joins a room until the returned function is called; users are counted. */
  acquire(room: string, after?: number): () => void {
    const known = this.rooms.get(room);
    if (known) known.users++;
    else this.rooms.set(room, { users: 1, after });
    this.scheduleSync();
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const held = this.rooms.get(room);
      if (held && --held.users === 0) this.rooms.delete(room);
      this.scheduleSync();
    };
  }

  /** A snapshot that was loaded over HTTP contains a stream up to sequence. */
  advance(stream: string, sequence: number): void {
    this.book.advance(stream, sequence);
  }

  private dispatch(event: LinkEvent): void {
    const next = step(this.link, event);
    if (next === this.link) return;
    if (next.timer !== this.link.timer) {
      clearTimeout(this.linkTimer);
      this.runTimer(next.timer);
    }
    this.link = next;
    for (const listener of this.listeners) listener();
  }

  private runTimer(timer: Timer | null): void {
    if (timer) this.linkTimer = setTimeout(() => this.dispatch({ type: "timer", timer }), timerMs(timer));
  }

  private onConnect(): void {
    this.joined.clear();
    this.dispatch({ type: "connected" });
    void this.sync();
  }

  private onDisconnect(reason: string): void {
    this.joined.clear();
    this.dispatch({ type: "disconnected" });
    // After these two Socket.IO does not come back by itself.
    if (reason === "io server disconnect") this.retryLater();
  }

  private onConnectError(error: Error & { data?: { code?: string } }): void {
    this.dispatch({ type: "connect_error" });
    if (error.data?.code === "unauthenticated") this.handlers.onUnauthenticated();
    if (!this.socket.active) this.retryLater();
  }

  private retryLater(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.socket.connect(), retryMs);
  }

  // Rooms change in bursts when a page is left for another: one request each way.
  private scheduleSync(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      if (this.socket.connected) void this.sync();
    });
  }

  private async sync(): Promise<void> {
    const leave = [...this.joined].filter((room) => !this.rooms.has(room));
    const join = [...this.rooms.keys()].filter((room) => !this.joined.has(room));
    for (const room of leave) {
      this.joined.delete(room);
      this.book.leave(room);
    }
    for (const room of join) this.joined.add(room);
    try {
      if (leave.length > 0) await this.ask("rt.unsubscribe", { rooms: leave });
      if (join.length > 0) await this.join(join);
      this.dispatch({ type: "ready" });
    } catch {
      // No answer in time: the connection is worth nothing. Begin a new one.
      if (!this.socket.connected) return;
      this.socket.disconnect();
      this.retryLater();
    }
  }

  private async join(rooms: string[]): Promise<void> {
    const fresh = this.link.phase === "live" || this.position === undefined;
    const after: Record<string, number> = {};
    for (const room of rooms) {
      const from = this.book.seen(room) ?? this.rooms.get(room)?.after;
      if (from !== undefined) after[room] = from;
      this.book.join(room, from);
    }
    const ack = await this.ask("rt.subscribe", {
      rooms,
      ...(!fresh && { position: this.position }),
      ...(Object.keys(after).length > 0 && { after }),
    });
    if (ack.position) this.position = ack.position;
    // Joined without a point to catch up from: what is shown may be older.
    const behind = fresh ? rooms.filter((room) => after[room] === undefined) : [];
    const resync = [...new Set([...(ack.resync ?? []), ...behind])];
    if (resync.length > 0) this.handlers.onResync(resync);
  }

  private async ask(event: string, body: Record<string, unknown>): Promise<Ack> {
    const ack: Ack = await this.socket.timeout(ackTimeoutMs).emitWithAck(event, body);
    if (!ack.ok) throw new Error(ack.error?.message ?? `${event} was refused`);
    return ack;
  }

  private onMessage(name: string, body: unknown): void {
    if (name.startsWith("rt.")) {
      this.onControl(name, body);
      return;
    }
    if (!isEnvelope(body)) return;
    const verdict = this.book.accept(body);
    if (verdict !== "duplicate") this.handlers.onEvent(body, verdict);
  }

  private onControl(name: string, body: unknown): void {
    if (typeof body !== "object" || body === null) return;
    const message = body as { position?: unknown; rooms?: unknown };
    if (typeof message.position === "string" && message.position !== "") this.position = message.position;
    if (name === "rt.resync" && Array.isArray(message.rooms)) {
      this.handlers.onResync(message.rooms.filter((room) => typeof room === "string"));
    }
  }
}
