// The browser's one connection, and the tabs that share it. Knows nothing of
// where it runs: shared worker, leading tab or single tab.

import { type Link, type LinkEvent, startLink, step, type Timer, timerMs } from "./fallback";
import { type CarrierKind, type Details, type Mark, startState, type ToHub, type ToTab } from "./messages";
import { type Asking, RoomTable } from "./rooms";
import { Cursors, isEnvelope } from "./stream";
import type { MakeWire, Wire } from "./wire";

export interface TabPort {
  post: (message: ToTab) => void;
}

interface Tab {
  port: TabPort;
  mark: Mark | null;
  locked: boolean;
  heardAt: number;
}

interface Ack {
  ok: boolean;
  position?: string;
  resync?: string[];
  metrics?: { ready?: boolean; reason?: string };
  error?: { reason?: string };
}

const retryMs = 5_000;
const refusedMs = 2_000;
const healthMs = 20_000;
const maxPerRequest = 150;
/** Timers of a tab in the background run once a minute; one that is silent for longer is gone. */
export const silentMs = 150_000;

class Refused extends Error {}

export class Hub {
  private readonly wire: Wire;
  private readonly tabs = new Map<string, Tab>();
  private readonly rooms = new RoomTable();
  private cursors = new Cursors();
  private link: Link = startLink();
  private details: Details;
  private started = false;
  private linkTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private healthTimer: ReturnType<typeof setInterval> | undefined;
  /** What it covers was delivered. */
  private position: string | undefined;
  /** Where catching up begins, while it goes on. */
  private resume: string | undefined;
  /** A hub that follows another one goes on from here. */
  private base: Mark | undefined;
  private scheduled = false;
  private talking = false;
  private connection = 0;

  constructor(makeWire: MakeWire, carrier: CarrierKind) {
    this.details = startState(carrier).details;
    this.wire = makeWire({
      onConnect: () => this.onConnect(),
      onDisconnect: (byServer) => this.onDisconnect(byServer),
      onConnectError: (code, gaveUp) => this.onConnectError(code, gaveUp),
      onTransport: () => this.tell({ transport: this.wire.transport }),
      onMessage: (name, body) => this.onMessage(name, body),
    });
  }

  /** Takes a message of a tab; port is how to answer. */
  receive(id: string, port: TabPort, message: ToHub): void {
    if (message.t === "hello") {
      this.hello(id, port, message);
      return;
    }
    const tab = this.tabs.get(id);
    if (!tab) {
      if (message.t !== "bye") port.post({ t: "unknown" });
      return;
    }
    tab.heardAt = Date.now();
    switch (message.t) {
      case "join":
        this.join(id, tab, message.rooms);
        break;
      case "leave":
        this.rooms.drop(id, message.rooms);
        this.schedule();
        break;
      case "beat":
        port.post({ t: "beat" });
        this.dropSilent();
        break;
      case "retry":
        if (!this.wire.connected) this.wire.connect();
        break;
      case "bye":
        this.release(id);
        if (message.signedOut) this.signedOut();
        break;
    }
  }

  /** A tab is gone, by its own word or because it crashed. */
  release(id: string): void {
    if (!this.tabs.delete(id)) return;
    this.rooms.drop(id);
    this.schedule();
    this.tell({ tabs: this.tabs.size });
    if (this.tabs.size === 0) this.rest();
  }

  stop(): void {
    this.rest();
    this.tabs.clear();
    this.wire.close();
  }

  private hello(id: string, port: TabPort, message: Extract<ToHub, { t: "hello" }>): void {
    this.rooms.drop(id);
    const tab: Tab = { port, mark: message.mark, locked: message.locked, heardAt: Date.now() };
    this.tabs.set(id, tab);
    this.join(id, tab, message.rooms);
    this.tell({ tabs: this.tabs.size });
    if (this.started) return;
    this.started = true;
    this.runTimer(this.link.timer);
    this.healthTimer = setInterval(() => void this.askHealth(), healthMs);
    this.wire.connect();
  }

  private join(id: string, tab: Tab, rooms: [string, number | null][]): void {
    // The first subscription goes on from the tabs' oldest mark, so theirs are covered.
    const { mark } = tab;
    const covered = mark !== null && this.position === undefined && mark.at >= (this.base?.at ?? 0);
    const load = rooms.filter(([room, after]) => this.rooms.want(id, room, after ?? undefined, covered));
    if (load.length > 0) tab.port.post({ t: "resync", rooms: load.map(([room]) => room) });
    this.schedule();
  }

  // Only tabs that hold no lock: those are waited for.
  private dropSilent(): void {
    const limit = Date.now() - silentMs;
    for (const [id, tab] of this.tabs) if (!tab.locked && tab.heardAt < limit) this.release(id);
  }

  private signedOut(): void {
    for (const tab of this.tabs.values()) tab.port.post({ t: "signed_out" });
    // The socket is still the old session's: whoever is signed in gets a new one.
    if (this.tabs.size > 0 && this.wire.connected) this.reconnect(0);
  }

  private rest(): void {
    clearTimeout(this.linkTimer);
    clearTimeout(this.retryTimer);
    clearInterval(this.healthTimer);
    this.started = false;
    this.wire.disconnect();
    this.link = startLink();
    this.forgetPosition();
    this.cursors = new Cursors();
    this.rooms.disconnected();
  }

  private forgetPosition(): void {
    this.position = undefined;
    this.resume = undefined;
    this.base = undefined;
  }

  private tell(change: Partial<Details>): void {
    this.details = { ...this.details, ...change };
    const message: ToTab = { t: "state", state: { link: this.link, details: this.details } };
    for (const tab of this.tabs.values()) tab.port.post(message);
  }

  private dispatch(event: LinkEvent): void {
    const next = step(this.link, event);
    if (next === this.link) return;
    if (next.timer !== this.link.timer) {
      clearTimeout(this.linkTimer);
      this.runTimer(next.timer);
    }
    this.link = next;
    this.tell({});
  }

  private runTimer(timer: Timer | null): void {
    if (timer) this.linkTimer = setTimeout(() => this.dispatch({ type: "timer", timer }), timerMs(timer));
  }

  private onConnect(): void {
    this.connection++;
    clearTimeout(this.retryTimer);
    this.resume = this.position;
    const session = this.wire.session ?? "";
    const dot = session.lastIndexOf(".");
    this.details = {
      ...this.details,
      transport: this.wire.transport,
      worker: dot > 0 ? session.slice(0, dot) : null,
      since: Date.now(),
      closed: null,
    };
    this.dispatch({ type: "connected" });
    this.schedule();
  }

  private oldestMark(): Mark | undefined {
    const marks = [...this.tabs.values()].flatMap((tab) => (tab.mark ? [tab.mark] : []));
    return marks.sort((a, b) => a.at - b.at)[0];
  }

  private onDisconnect(byServer: boolean): void {
    this.connection++;
    this.rooms.disconnected();
    this.details = { ...this.details, transport: null, sid: null, since: null, degraded: null };
    this.dispatch({ type: "disconnected" });
    if (byServer) this.reconnect(retryMs);
  }

  private onConnectError(code: string | undefined, gaveUp: boolean): void {
    this.dispatch({ type: "connect_error" });
    if (code === "unauthenticated") {
      for (const tab of this.tabs.values()) tab.port.post({ t: "signed_out" });
    }
    if (gaveUp) this.reconnect(retryMs);
  }

  private reconnect(ms: number): void {
    clearTimeout(this.retryTimer);
    if (this.wire.connected) this.wire.disconnect();
    this.retryTimer = setTimeout(() => {
      if (this.started) this.wire.connect();
    }, ms);
  }

  // Rooms change in bursts when a page is left for another: one request each way.
  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      void this.talk();
    });
  }

  private async talk(): Promise<void> {
    if (this.talking || !this.wire.connected) return;
    this.talking = true;
    const connection = this.connection;
    const same = () => connection === this.connection;
    try {
      let more = true;
      while (more && same()) more = await this.talkOnce(same);
      if (same()) this.caughtUp();
    } catch (error) {
      // Refused: the log cannot be read at the moment, the socket is fine. No
      // answer in time: the connection is worth nothing, begin a new one.
      if (same() && error instanceof Refused) this.refused(error.message);
      else if (same() && this.wire.connected) this.reconnect(0);
    } finally {
      this.talking = false;
      if (!same()) this.schedule();
    }
  }

  private refused(reason: string): void {
    // The log is another one, restored for instance: begin anew.
    if (reason === "rt.bad_position") {
      this.forgetPosition();
      this.rooms.allBehind();
    }
    setTimeout(() => this.schedule(), refusedMs);
  }

  /** One request each way; false when there is nothing to ask for. */
  private async talkOnce(same: () => boolean): Promise<boolean> {
    const leave = this.rooms.unwanted(maxPerRequest);
    if (leave.length > 0) {
      this.rooms.left(leave);
      await this.ask("rt.unsubscribe", { rooms: leave });
    }
    const asking = this.rooms.asking(maxPerRequest);
    if (asking.rooms.length > 0 && same()) await this.subscribe(asking, same);
    return leave.length + asking.rooms.length > 0;
  }

  private async subscribe(asking: Asking, same: () => boolean): Promise<void> {
    if (this.position === undefined) {
      this.base ??= this.oldestMark();
      this.resume = this.base?.position;
    }
    const ack = await this.ask("rt.subscribe", {
      rooms: asking.rooms,
      ...(this.resume !== undefined && { position: this.resume }),
      ...(Object.keys(asking.after).length > 0 && { after: asking.after }),
    });
    if (!same()) return;
    // What an answer's position covers comes after it, and a position of its own then;
    // only at the very beginning is there nothing to come.
    if (this.position === undefined && ack.position) this.reached(this.resume ?? ack.position);
    for (const [id, rooms] of this.rooms.answered(asking))
      this.tabs.get(id)?.port.post({ t: "resync", rooms });
    this.resync(ack.resync ?? []);
  }

  private caughtUp(): void {
    this.resume = undefined;
    const fresh = this.link.phase !== "live";
    this.dispatch({ type: "ready" });
    if (fresh) void this.askHealth();
  }

  private async ask(event: string, body: Record<string, unknown>): Promise<Ack> {
    const ack = (await this.wire.ask(event, body)) as Ack;
    if (!ack.ok) throw new Refused(ack.error?.reason ?? event);
    return ack;
  }

  private async askHealth(): Promise<void> {
    if (!this.wire.connected || this.link.phase !== "live") return;
    const ack = await this.ask("rt.health", {}).catch(() => null);
    if (!ack?.metrics || !this.wire.connected) return;
    const degraded = ack.metrics.ready === false ? ack.metrics.reason || "it does not say why" : null;
    if (degraded !== this.details.degraded) this.tell({ degraded });
  }

  private reached(position: string): void {
    this.position = position;
    const mark: Mark = { position, at: Date.now() };
    for (const tab of this.tabs.values()) tab.port.post({ t: "mark", mark });
  }

  private resync(rooms: string[]): void {
    for (const room of rooms)
      for (const id of this.rooms.tabsIn([room]))
        this.tabs.get(id)?.port.post({ t: "resync", rooms: [room] });
  }

  private onMessage(name: string, body: unknown): void {
    if (name.startsWith("rt.")) this.onControl(name, body);
    else if (isEnvelope(body)) this.onEvent(body);
  }

  private onEvent(event: Extract<ToTab, { t: "event" }>["event"]): void {
    const stream = event.sequence_stream;
    const last = this.cursors.get(stream);
    const again = last !== undefined && event.sequence <= last;
    if (!again) this.cursors.set(stream, event.sequence);
    this.rooms.delivered(stream, event.sequence);
    // What is replayed for one tab is old news for those that only see a selection.
    const message: ToTab = { t: "event", event };
    for (const id of this.rooms.tabsIn(again ? [stream] : event.room_keys))
      this.tabs.get(id)?.port.post(message);
  }

  private onControl(name: string, raw: unknown): void {
    if (typeof raw !== "object" || raw === null) return;
    const body = raw as { position?: unknown; rooms?: unknown; reason?: unknown; sid?: unknown };
    if (name === "rt.connected" && typeof body.sid === "string") this.tell({ sid: body.sid });
    if (name === "rt.closing" && typeof body.reason === "string") this.onClosing(body.reason);
    // While it goes on, catching up is complete for a part of the rooms only.
    if (typeof body.position === "string" && body.position !== "" && this.resume === undefined)
      this.reached(body.position);
    if (!Array.isArray(body.rooms)) return;
    const names = body.rooms.flatMap((r: unknown) =>
      typeof r === "string" ? [r] : isDenied(r) ? [r.room] : [],
    );
    if (name === "rt.resync" || name === "rt.left") this.resync(names);
  }

  private onClosing(reason: string): void {
    this.tell({ closed: reason });
    if (reason === "revoked") for (const tab of this.tabs.values()) tab.port.post({ t: "signed_out" });
  }
}

const isDenied = (value: unknown): value is { room: string } =>
  typeof value === "object" && value !== null && typeof (value as { room?: unknown }).room === "string";
