import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { envelope, FakeAir, type FakeChannel, FakeLocks, FakeSocket, settle } from "../test/realtime";
import { Hub } from "./hub";
import { leaderCarrier } from "./leader";
import { holdLock, whenEnded } from "./presence";
import { beatMs, TabClient } from "./tab";

const run = "flowchart_run:7";
const scope = "studio";

let locks: FakeLocks;
let air: FakeAir;
let sockets: FakeSocket[];

class Browser {
  readonly seen: number[] = [];
  readonly resynced: string[] = [];
  readonly client: TabClient;
  channel: FakeChannel | undefined;
  id = "";

  constructor(after: number) {
    const open = leaderCarrier({
      scope,
      locks: locks.manager,
      openChannel: () => {
        this.channel = air.open();
        return this.channel;
      },
      makeHub: async () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return new Hub(socket.make, "leader");
      },
      whenEnded: (id, onEnd) => whenEnded(locks.manager, id, onEnd),
    });
    this.client = new TabClient(
      [
        (id, receive, onFail) => {
          this.id = id;
          return open(id, receive, onFail);
        },
      ],
      {
        onEvent: (e) => void this.seen.push(e.sequence),
        onResync: (rooms) => void this.resynced.push(...rooms),
        onSignedOut: () => {},
      },
      holdLock(locks.manager),
    );
    this.client.acquire("studio");
    this.client.acquire(run, after);
    this.client.start();
  }
}

const up = async (socket: FakeSocket | undefined, position = "p1") => {
  if (!socket) throw new Error("nobody has made a socket");
  socket.up();
  await settle();
  while (socket.asked.some((a) => a.event === "rt.subscribe")) {
    const asked = socket.next("rt.subscribe");
    asked.answer({ ok: true, rooms: asked.body.rooms, denied: [], resync: [], position });
    await settle();
  }
};
const answered = async (socket: FakeSocket | undefined) => {
  if (!socket) throw new Error("nobody has made a socket");
  await settle();
  const asked = socket.next("rt.subscribe");
  asked.answer({ ok: true, rooms: asked.body.rooms, denied: [], resync: [], position: "p" });
  await settle();
  return asked.body;
};

beforeEach(() => {
  vi.useFakeTimers();
  locks = new FakeLocks();
  air = new FakeAir();
  sockets = [];
});
afterEach(() => vi.useRealTimers());

async function three(): Promise<[Browser, Browser, Browser]> {
  const tabs: [Browser, Browser, Browser] = [new Browser(3), new Browser(3), new Browser(3)];
  await settle();
  await up(sockets[0]);
  await settle();
  return tabs;
}

describe("one tab leads", () => {
  it("holds the only socket, and all tabs get the stream", async () => {
    const tabs = await three();
    sockets[0]?.send(envelope(run, 4));
    await settle();
    expect(sockets).toHaveLength(1);
    expect(tabs.map((t) => t.seen)).toEqual([[4], [4], [4]]);
    expect(tabs.map((t) => t.client.getState().details.tabs)).toEqual([3, 3, 3]);
    expect(tabs.map((t) => t.client.getState().link.phase)).toEqual(["live", "live", "live"]);
  });

  it("hands over without a gap when the leader closes", async () => {
    const [a, b, c] = await three();
    sockets[0]?.send(envelope(run, 4));
    await settle();
    const loads = [b.resynced.length, c.resynced.length];
    a.client.stop(false);
    await settle();
    expect(sockets).toHaveLength(2);
    expect(sockets[0]?.closed).toBe(true);
    sockets[1]?.up();
    // From where both are, in the streams and in what is selected.
    expect(await answered(sockets[1])).toMatchObject({ position: "p1", after: { [run]: 4 } });
    for (const n of [5, 6]) sockets[1]?.send(envelope(run, n));
    await settle();
    expect([b.seen, c.seen]).toEqual([
      [4, 5, 6],
      [4, 5, 6],
    ]);
    expect([b.resynced.length, c.resynced.length]).toEqual(loads);
  });

  it("replaces a leader that crashed", async () => {
    await three();
    locks.crash(scope);
    await settle();
    expect(sockets).toHaveLength(2);
  });

  it("replaces a leader that sleeps, which follows when it wakes", async () => {
    const [a, b] = await three();
    if (!a.channel) throw new Error("no channel");
    // The timers of a tab that sleeps stand still: only the others' go on.
    a.channel.asleep = true;
    await vi.advanceTimersByTimeAsync(beatMs * 4);
    await settle();
    expect(sockets.length).toBeGreaterThan(1);
    expect(sockets[0]?.closed).toBe(true);
    const leading = sockets.filter((s) => !s.closed);
    expect(leading).toHaveLength(1);
    a.channel.wake();
    await settle();
    await up(leading[0], "p2");
    leading[0]?.send(envelope(run, 4));
    await settle();
    expect([a.seen, b.seen]).toEqual([[4], [4]]);
  });

  it("releases the rooms of a tab that crashed", async () => {
    const [, b] = await three();
    b.client.acquire("task:1");
    await settle();
    await answered(sockets[0]);
    locks.crash(`llmctl-studio-tab:${b.id}`);
    await settle();
    expect(sockets[0]?.next("rt.unsubscribe").body.rooms).toEqual(["task:1"]);
  });
});
