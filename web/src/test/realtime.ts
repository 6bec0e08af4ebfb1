// A socket that does what a test says, and events to send over it.

import type { Envelope } from "../api/aliases";
import type { MakeWire, WireHandlers } from "../realtime/wire";

export const envelope = (stream: string, sequence: number, rooms = [stream]): Envelope => ({
  contract_version: "v1",
  correlation_id: "",
  emitted_at: "2026-01-01T00:00:00Z",
  entity_id: "1",
  entity_kind: "flowchart_run",
  event_id: `${stream}/${sequence}`,
  event_type: "flowchart:run:updated",
  idempotency_key: `${stream}/${sequence}`,
  payload: {},
  request_id: "",
  room_keys: rooms,
  runtime: null,
  sequence,
  sequence_stream: stream,
});

export interface Asked {
  event: string;
  body: { rooms?: string[]; after?: Record<string, number>; position?: string };
  answer: (ack: object) => void;
  fail: () => void;
}

export class FakeSocket {
  connected = false;
  dials = 0;
  session = "WORKERA.SESSION";
  closed = false;
  readonly asked: Asked[] = [];
  private handlers: WireHandlers | undefined;

  readonly make: MakeWire = (handlers) => {
    this.handlers = handlers;
    const self = this;
    return {
      get connected() {
        return self.connected;
      },
      get transport() {
        return self.connected ? "websocket" : null;
      },
      get session() {
        return self.connected ? self.session : null;
      },
      connect: () => void this.dials++,
      disconnect: () => this.drop(),
      close: () => {
        this.closed = true;
        this.drop();
      },
      ask: (event, body) =>
        new Promise((resolve, reject) => {
          this.asked.push({ event, body, answer: resolve, fail: () => reject(new Error("no answer")) });
        }),
    };
  };

  up(): void {
    this.connected = true;
    this.handlers?.onConnect();
  }

  drop(byServer = false): void {
    if (!this.connected) return;
    this.connected = false;
    for (const one of this.asked.splice(0)) one.fail();
    this.handlers?.onDisconnect(byServer);
  }

  refuse(code: string): void {
    this.handlers?.onConnectError(code, true);
  }

  say(name: string, body: unknown): void {
    this.handlers?.onMessage(name, body);
  }

  send(e: Envelope): void {
    this.say(e.event_type, e);
  }

  /** The request that waits for an answer. */
  next(event: string): Asked {
    const i = this.asked.findIndex((one) => one.event === event);
    const found = this.asked.splice(i, 1)[0];
    if (i < 0 || !found) throw new Error(`${event} was not asked; ${this.asked.map((a) => a.event)}`);
    return found;
  }
}

/** Lets promises that are settled go on. */
export const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

/** Locks as browsers have them: a queue each, stealing, and an end with their holder. */
export class FakeLocks {
  private readonly queues = new Map<string, { run: () => void; abort: (e: unknown) => void }[]>();

  request = (
    name: string,
    optionsOrRun: LockOptions | (() => unknown),
    maybeRun?: () => unknown,
  ): Promise<unknown> => {
    const options = typeof optionsOrRun === "function" ? {} : optionsOrRun;
    const run = typeof optionsOrRun === "function" ? optionsOrRun : (maybeRun ?? (() => undefined));
    return new Promise((resolve, reject) => {
      const queue = this.queues.get(name) ?? [];
      this.queues.set(name, queue);
      const entry = {
        run: () => {
          void Promise.resolve(run()).then(
            (value) => {
              this.leave(name, entry);
              resolve(value);
            },
            (cause) => {
              this.leave(name, entry);
              reject(cause);
            },
          );
        },
        abort: reject,
      };
      options.signal?.addEventListener("abort", () => {
        if (queue[0] === entry) return;
        this.leave(name, entry);
        reject(new DOMException("aborted", "AbortError"));
      });
      if (options.steal) {
        queue.shift()?.abort(new DOMException("stolen", "AbortError"));
        queue.unshift(entry);
        queueMicrotask(entry.run);
      } else {
        queue.push(entry);
        if (queue[0] === entry) queueMicrotask(entry.run);
      }
    });
  };

  /** The holder of a lock has crashed. */
  crash(name: string): void {
    const entry = this.queues.get(name)?.[0];
    if (entry) this.leave(name, entry);
  }

  get manager(): LockManager {
    return this as unknown as LockManager;
  }

  private leave(name: string, entry: { run: () => void; abort: (e: unknown) => void }): void {
    const queue = this.queues.get(name);
    const i = queue?.indexOf(entry) ?? -1;
    if (!queue || i < 0) return;
    queue.splice(i, 1);
    if (i === 0) queue[0]?.run();
  }
}

/** A broadcast channel in one process. */
export class FakeAir {
  private readonly channels = new Set<FakeChannel>();

  open = (): FakeChannel => {
    const channel = new FakeChannel((from, data) => {
      for (const other of this.channels)
        if (other !== from) queueMicrotask(() => other.take(structuredClone(data)));
    });
    this.channels.add(channel);
    return channel;
  };
}

export class FakeChannel {
  onmessage: ((event: MessageEvent) => void) | null = null;
  /** Asleep: what comes waits. */
  asleep = false;
  private closed = false;
  private readonly waiting: unknown[] = [];

  constructor(private readonly spread: (from: FakeChannel, data: unknown) => void) {}

  postMessage(data: unknown): void {
    if (!this.closed) this.spread(this, data);
  }

  take(data: unknown): void {
    if (this.closed) return;
    if (this.asleep) this.waiting.push(data);
    else this.onmessage?.({ data } as MessageEvent);
  }

  wake(): void {
    this.asleep = false;
    for (const data of this.waiting.splice(0)) this.take(data);
  }

  close(): void {
    this.closed = true;
  }
}
