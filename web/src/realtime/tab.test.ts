import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { envelope, settle } from "../test/realtime";
import { connectTimeoutMs } from "./fallback";
import { startState, type ToHub, type ToTab } from "./messages";
import { answerMs, beatMs, gapMs, type OpenCarrier, TabClient } from "./tab";

const run = "flowchart_run:7";

class Line {
  readonly sent: ToHub[] = [];
  opened = 0;
  closed = 0;
  revives = false;
  revived = 0;
  receive: (m: ToTab) => void = () => {};
  fail: () => void = () => {};
  readonly ids: string[] = [];

  readonly open: OpenCarrier = (id, receive, onFail) => {
    this.opened++;
    this.ids.push(id);
    this.receive = receive;
    this.fail = onFail;
    return {
      kind: "shared",
      post: (m) => void this.sent.push(structuredClone(m)),
      revive: () => {
        this.revived++;
        return this.revives;
      },
      close: () => void this.closed++,
    };
  };
  last(t: ToHub["t"]): ToHub | undefined {
    return this.sent.findLast((m) => m.t === t);
  }
}

let line: Line;
let spare: Line;
let seen: number[];
let resynced: string[];
let signedOut: number;
let released: number;
let tab: TabClient;

beforeEach(() => {
  vi.useFakeTimers();
  line = new Line();
  spare = new Line();
  seen = [];
  resynced = [];
  signedOut = 0;
  released = 0;
  tab = new TabClient(
    [line.open, spare.open],
    {
      onEvent: (e) => void seen.push(e.sequence),
      onResync: (rooms) => void resynced.push(...rooms),
      onSignedOut: () => void signedOut++,
    },
    () => Promise.resolve({ locked: true, release: () => void released++ }),
  );
});
afterEach(() => {
  tab.stop(false);
  vi.useRealTimers();
});

const started = async () => {
  tab.start();
  await settle();
};
const event = (n: number, stream = run) => line.receive({ t: "event", event: envelope(stream, n) });

describe("a tab's rooms", () => {
  it("counts who uses a room, joins with the first and leaves after the last", async () => {
    await started();
    const one = tab.acquire(run, 4);
    const two = tab.acquire(run, 4);
    await settle();
    expect(line.sent.filter((m) => m.t === "join")).toEqual([{ t: "join", rooms: [[run, 4]] }]);
    one();
    one();
    await settle();
    expect(line.last("leave")).toBeUndefined();
    two();
    await settle();
    expect(line.last("leave")).toEqual({ t: "leave", rooms: [run] });
  });

  it("begins a room at its snapshot, whatever a selection has shown of its stream", async () => {
    await started();
    tab.acquire("studio");
    await settle();
    event(9);
    tab.acquire(run, 7);
    await settle();
    expect(line.last("join")).toEqual({ t: "join", rooms: [[run, 7]] });
    event(8);
    event(9);
    expect(seen).toEqual([9, 8, 9]);
  });

  it("tells a new hub where it is in each stream and up to where it is complete", async () => {
    await started();
    tab.acquire(run, 4);
    tab.acquire("studio");
    await settle();
    event(5);
    event(6);
    line.receive({ t: "mark", mark: { position: "p", at: 1 } });
    line.receive({ t: "unknown" });
    expect(line.last("hello")).toEqual({
      t: "hello",
      rooms: [
        [run, 6],
        ["studio", null],
      ],
      mark: { position: "p", at: 1 },
      locked: true,
    });
  });

  it("says goodbye and lets go of its lock; afterwards it is another tab", async () => {
    await started();
    tab.stop(true);
    expect(line.last("bye")).toEqual({ t: "bye", signedOut: true });
    expect([line.closed, released]).toEqual([1, 1]);
    await started();
    expect(new Set(line.ids).size).toBe(2);
  });
});

describe("gaps", () => {
  it("asks for what is missing and shows the rest after it", async () => {
    await started();
    tab.acquire(run, 4);
    await settle();
    event(7);
    expect(line.last("join")).toEqual({ t: "join", rooms: [[run, 4]] });
    expect(seen).toEqual([]);
    for (const n of [5, 6, 7]) event(n);
    expect(seen).toEqual([5, 6, 7]);
    await vi.advanceTimersByTimeAsync(gapMs * 2);
    expect(resynced).toEqual([]);
  });

  it("loads the whole again when what is missing does not come", async () => {
    await started();
    tab.acquire(run, 4);
    await settle();
    event(7);
    await vi.advanceTimersByTimeAsync(gapMs - 1);
    expect(resynced).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(resynced).toEqual([run]);
    expect(seen).toEqual([7]);
    event(8);
    expect(seen).toEqual([7, 8]);
  });

  it("takes a snapshot that contains what was missing", async () => {
    await started();
    tab.acquire(run, 4);
    await settle();
    event(7);
    tab.advance(run, 6);
    expect(seen).toEqual([7]);
    await vi.advanceTimersByTimeAsync(gapMs * 2);
    expect(resynced).toEqual([]);
  });
});

describe("the line to the hub", () => {
  it("takes the next carrier at once when one does not work here", async () => {
    await started();
    line.fail();
    expect([line.closed, spare.opened]).toEqual([1, 1]);
    expect(spare.last("hello")).toBeTruthy();
  });

  it("takes the next carrier when one throws", async () => {
    const broken: OpenCarrier = () => {
      throw new DOMException("no", "SecurityError");
    };
    tab = new TabClient([broken, spare.open], { onEvent() {}, onResync() {}, onSignedOut() {} }, () =>
      Promise.resolve({ locked: false, release() {} }),
    );
    await started();
    expect(spare.last("hello")).toMatchObject({ locked: false });
  });

  it("gives a hub that never answers up", async () => {
    await started();
    await vi.advanceTimersByTimeAsync(answerMs);
    expect([line.revived, spare.opened]).toEqual([1, 1]);
  });

  it("revives a hub that falls silent, and stays with one that can be", async () => {
    line.revives = true;
    await started();
    line.receive({ t: "beat" });
    await vi.advanceTimersByTimeAsync(beatMs * 2);
    expect(line.revived).toBe(0);
    await vi.advanceTimersByTimeAsync(beatMs);
    expect(line.revived).toBe(1);
    expect(spare.opened).toBe(0);
  });

  it("does not blame the hub for its own sleep", async () => {
    line.revives = true;
    await started();
    line.receive({ t: "beat" });
    for (let i = 0; i < 10; i++) {
      vi.setSystemTime(Date.now() + 3_600_000);
      await vi.advanceTimersByTimeAsync(beatMs);
    }
    expect(line.revived).toBe(0);
  });

  it("polls when nobody holds a socket for it in time", async () => {
    await started();
    await vi.advanceTimersByTimeAsync(connectTimeoutMs);
    expect(tab.getState().link.phase).toBe("polling");
    line.receive({ t: "state", state: startState("shared") });
    expect(tab.getState().link.phase).toBe("connecting");
  });

  it("ends when the hub says that the session has", async () => {
    await started();
    line.receive({ t: "signed_out" });
    expect(signedOut).toBe(1);
  });
});
