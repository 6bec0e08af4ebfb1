import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { envelope, FakeSocket, settle } from "../test/realtime";
import { connectTimeoutMs, sustainedDisconnectMs } from "./fallback";
import { Hub, silentMs } from "./hub";
import type { HubState, Mark, ToTab, Wanted } from "./messages";

const run = "flowchart_run:7";

class Tab {
  readonly got: ToTab[] = [];
  constructor(
    private readonly hub: Hub,
    readonly id: string,
  ) {}

  readonly port = { post: (m: ToTab) => void this.got.push(structuredClone(m)) };

  hello(rooms: Wanted, mark: Mark | null = null, locked = true): void {
    this.hub.receive(this.id, this.port, { t: "hello", rooms, mark, locked });
  }
  join(...rooms: Wanted): void {
    this.hub.receive(this.id, this.port, { t: "join", rooms });
  }
  say(message: Parameters<Hub["receive"]>[2]): void {
    this.hub.receive(this.id, this.port, message);
  }
  events(): number[] {
    return this.got.flatMap((m) => (m.t === "event" ? [m.event.sequence] : []));
  }
  resyncs(): string[] {
    return this.got.flatMap((m) => (m.t === "resync" ? m.rooms : []));
  }
  state(): HubState {
    const states = this.got.flatMap((m) => (m.t === "state" ? [m.state] : []));
    const last = states.at(-1);
    if (!last) throw new Error("no state");
    return last;
  }
  marks(): string[] {
    return this.got.flatMap((m) => (m.t === "mark" ? [m.mark.position] : []));
  }
}

let socket: FakeSocket;
let hub: Hub;
const tab = (id: string) => new Tab(hub, id);

const answer = async (position = "p1", more: object = {}) => {
  await settle();
  const asked = socket.next("rt.subscribe");
  asked.answer({ ok: true, rooms: asked.body.rooms, denied: [], resync: [], position, ...more });
  await settle();
  return asked.body;
};

/** A tab in studio and the run, live. */
async function live(after: number | null = 3): Promise<Tab> {
  const a = tab("a");
  a.hello([
    ["studio", null],
    [run, after],
  ]);
  socket.up();
  await answer();
  return a;
}

beforeEach(() => {
  vi.useFakeTimers();
  socket = new FakeSocket();
  hub = new Hub(socket.make, "shared");
});
afterEach(() => {
  hub.stop();
  vi.useRealTimers();
});

describe("rooms over tabs", () => {
  it("asks the server once for a room that several tabs want, and leaves it after the last", async () => {
    const a = await live();
    const b = tab("b");
    b.hello([[run, 3]]);
    await settle();
    expect(socket.asked.map((x) => x.event)).not.toContain("rt.subscribe");
    a.say({ t: "leave", rooms: [run] });
    await settle();
    expect(socket.asked.map((x) => x.event)).not.toContain("rt.unsubscribe");
    b.say({ t: "bye", signedOut: false });
    await settle();
    expect(socket.next("rt.unsubscribe").body.rooms).toEqual([run]);
    expect(a.state().details.tabs).toBe(1);
  });

  it("releases the rooms of a tab that crashed and disconnects after the last tab", async () => {
    await live();
    hub.release("a");
    await settle();
    expect(socket.connected).toBe(false);
    const again = tab("b");
    again.hello([["studio", null]]);
    expect(socket.dials).toBe(2);
  });

  it("drops a tab without a lock after a long silence, and knows it again when it comes back", async () => {
    const a = await live();
    const silent = tab("silent");
    silent.hello([["task:1", null]], null, false);
    await answer();
    vi.setSystemTime(Date.now() + silentMs + 1);
    a.say({ t: "beat" });
    await settle();
    expect(socket.next("rt.unsubscribe").body.rooms).toEqual(["task:1"]);
    silent.say({ t: "beat" });
    expect(silent.got.at(-1)).toEqual({ t: "unknown" });
  });

  it("gives each tab what its rooms match, once", async () => {
    const a = await live();
    const b = tab("b");
    b.hello([["studio", null]]);
    await settle();
    socket.send(envelope(run, 4, [run, "studio"]));
    socket.send(envelope(run, 5, [run]));
    expect(a.events()).toEqual([4, 5]);
    expect(b.events()).toEqual([4]);
  });

  it("replays for a tab that knows less than was delivered, and only to those in the stream's room", async () => {
    const a = await live();
    const lists = tab("lists");
    lists.hello([["studio", null]]);
    for (const n of [4, 5, 6]) socket.send(envelope(run, n, [run, "studio"]));
    const b = tab("b");
    b.hello([[run, 4]]);
    expect(await answer()).toEqual({ rooms: [run], after: { [run]: 4 } });
    for (const n of [5, 6]) socket.send(envelope(run, n, [run, "studio"]));
    expect(b.events()).toEqual([5, 6]);
    expect(lists.events()).toEqual([4, 5, 6]);
    expect(a.events()).toEqual([4, 5, 6, 5, 6]); // its own book drops the doubles
  });

  it("tells a tab that comes later and knows nothing of a room to load it", async () => {
    const a = await live();
    expect(a.resyncs()).toEqual(["studio"]);
    const b = tab("b");
    b.hello([["studio", null]]);
    expect(b.resyncs()).toEqual(["studio"]);
    expect(a.resyncs()).toEqual(["studio"]);
  });

  it("passes on what the server cannot replay", async () => {
    const a = tab("a");
    a.hello([[run, 3]]);
    socket.up();
    await answer("p", { resync: [run] });
    expect(a.resyncs()).toEqual([run]);
    socket.say("rt.left", { rooms: [{ room: run, reason: "rt.forbidden" }] });
    expect(a.resyncs()).toEqual([run, run]);
  });
});

describe("catching up", () => {
  it("goes on from the position and from what was delivered of each stream", async () => {
    await live();
    socket.send(envelope(run, 4));
    socket.say("rt.position", { position: "p2" });
    socket.drop();
    socket.up();
    expect(await answer("p3")).toEqual({ rooms: ["studio", run], position: "p2", after: { [run]: 4 } });
  });

  it("does not believe an answer's position before what it covers has come", async () => {
    await live();
    socket.drop();
    socket.up();
    await answer("p9");
    socket.drop(); // before the missed events came
    socket.up();
    expect((await answer()).position).toBe("p1");
  });

  it("asks again from where a tab waits although later events were delivered", async () => {
    await live();
    const b = tab("b");
    b.hello([[run, 1]]);
    await settle();
    expect(socket.asked.at(-1)?.body.after).toEqual({ [run]: 1 });
    socket.drop(); // without an answer
    socket.up();
    expect((await answer()).after).toEqual({ [run]: 1 });
  });

  it("keeps a socket whose request was refused, and asks again", async () => {
    const a = tab("a");
    a.hello([["studio", null]]);
    socket.up();
    await settle();
    socket.next("rt.subscribe").answer({ ok: false, error: { reason: "rt.unavailable" } });
    await settle();
    expect(socket.connected).toBe(true);
    expect(a.state().link.phase).toBe("catching_up");
    await vi.advanceTimersByTimeAsync(2_000);
    await answer();
    expect(a.state().link.phase).toBe("live");
  });

  it("begins anew when the log no longer knows the position", async () => {
    const a = await live();
    socket.drop();
    socket.up();
    await settle();
    socket.next("rt.subscribe").answer({ ok: false, error: { reason: "rt.bad_position" } });
    await vi.advanceTimersByTimeAsync(2_000);
    expect((await answer("q1")).position).toBeUndefined();
    expect(a.resyncs()).toEqual(["studio", "studio"]);
  });

  it("begins a new connection when there is no answer", async () => {
    await live();
    tab("b").hello([["task:1", null]]);
    await settle();
    const dials = socket.dials;
    socket.next("rt.subscribe").fail();
    await settle();
    expect(socket.connected).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(socket.dials).toBe(dials + 1);
  });

  it("asks for many rooms in portions and stays with the old position until all are there", async () => {
    const a = tab("a");
    a.hello(Array.from({ length: 200 }, (_, i): [string, number] => [`flowchart_run:${i + 1}`, 1]));
    socket.up();
    expect((await answer("p1")).rooms).toHaveLength(150);
    expect((await answer("p2")).rooms).toHaveLength(50);
    socket.drop();
    socket.up();
    expect((await answer("p3")).position).toBe("p1");
    socket.say("rt.position", { position: "partly" });
    expect((await answer("p4")).position).toBe("p1");
    expect(a.state().link.phase).toBe("live");
  });
});

describe("a hub that follows another one", () => {
  it("goes on from the oldest of its tabs' marks, so that nobody has to load anything", async () => {
    const a = tab("a");
    const b = tab("b");
    a.hello([["studio", null]], { position: "m2", at: 20 });
    b.hello([["studio", null]], { position: "m1", at: 10 });
    socket.up();
    expect(await answer("p")).toEqual({ rooms: ["studio"], position: "m1" });
    expect([...a.resyncs(), ...b.resyncs()]).toEqual([]);
    expect(a.marks()).toEqual(["m1"]);
  });

  it("tells a tab with an older mark that comes too late to load", async () => {
    const a = tab("a");
    a.hello([["studio", null]], { position: "m2", at: 20 });
    socket.up();
    await settle();
    const late = tab("late");
    late.hello([["studio", null]], { position: "m1", at: 10 });
    await answer("p");
    expect(a.resyncs()).toEqual([]);
    expect(late.resyncs()).toEqual(["studio"]);
  });
});

describe("fallback", () => {
  it("polls five seconds after the start without a socket, not earlier", async () => {
    const a = tab("a");
    a.hello([]);
    socket.refuse("x");
    await vi.advanceTimersByTimeAsync(connectTimeoutMs - 1);
    expect(a.state().link.phase).toBe("connecting");
    await vi.advanceTimersByTimeAsync(1);
    expect(a.state().link).toMatchObject({ phase: "polling", failure: "socket_connect_timeout" });
    socket.up();
    await settle();
    expect(a.state().link.phase).toBe("live");
  });

  it("polls three seconds after a ready socket was lost, and not when it is back before", async () => {
    const a = await live();
    socket.drop();
    await vi.advanceTimersByTimeAsync(sustainedDisconnectMs - 1);
    socket.up();
    await answer();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(a.state().link.phase).toBe("live");
    socket.drop();
    await vi.advanceTimersByTimeAsync(sustainedDisconnectMs);
    expect(a.state().link.phase).toBe("polling");
    socket.up();
    await answer();
    expect(a.state().link.phase).toBe("live");
  });

  it("comes back by itself after the server sent it away", async () => {
    await live();
    const dials = socket.dials;
    socket.drop(true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(socket.dials).toBe(dials + 1);
  });
});

describe("what the server says", () => {
  it("tells the tabs worker, transport and session", async () => {
    const a = await live();
    socket.say("rt.connected", { ok: true, sid: "S1" });
    expect(a.state().details).toMatchObject({
      worker: "WORKERA",
      transport: "websocket",
      sid: "S1",
      carrier: "shared",
      tabs: 1,
      since: Date.now(),
    });
  });

  it("tells that the server delivers late, until it does not", async () => {
    const a = await live();
    socket.next("rt.health").answer({ ok: true, metrics: { ready: false, reason: "bus: no answer" } });
    await settle();
    expect(a.state().details.degraded).toBe("bus: no answer");
    await vi.advanceTimersByTimeAsync(20_000);
    socket.next("rt.health").answer({ ok: true, metrics: { ready: true } });
    await settle();
    expect(a.state().details.degraded).toBeNull();
  });

  it("ends all tabs when one signs out, and leaves the old session's socket", async () => {
    const a = await live();
    const b = tab("b");
    b.hello([["studio", null]]);
    await settle();
    a.say({ t: "bye", signedOut: true });
    expect(b.got.filter((m) => m.t === "signed_out")).toHaveLength(1);
    expect(socket.connected).toBe(false);
  });

  it("ends all tabs when the server takes the session away", async () => {
    const a = await live();
    socket.say("rt.closing", { reason: "revoked", reconnect: false });
    expect(a.got.filter((m) => m.t === "signed_out")).toHaveLength(1);
    expect(a.state().details.closed).toBe("revoked");
    socket.drop(true);
    socket.refuse("unauthenticated");
    expect(a.got.filter((m) => m.t === "signed_out")).toHaveLength(2);
  });
});
