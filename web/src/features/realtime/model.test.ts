import { describe, expect, it } from "vitest";
import {
  bars,
  clientName,
  type Latency,
  milliseconds,
  quantile,
  type RealtimeStatus,
  type RealtimeWorker,
  troubles,
} from "./model";

const latency = (counts: number[]): Latency => ({
  bounds_ms: [1, 10, 100],
  counts,
  count: counts.reduce((a, b) => a + b, 0),
  sum_ms: 0,
  p50_ms: 0,
  p90_ms: 0,
  p99_ms: 0,
});

describe("quantile", () => {
  it("lies between the bounds of its bucket", () => {
    const l = latency([10, 80, 10, 0]);
    expect(quantile(l, 0.05)).toBe(0.5);
    expect(quantile(l, 0.5)).toBe(5.5);
    expect(quantile(l, 0.95)).toBe(55);
    expect(quantile(l, 1)).toBe(100);
  });

  it("does not guess beyond the last bound, and says nothing of nothing", () => {
    expect(quantile(latency([0, 0, 0, 4]), 0.5)).toBe(100);
    expect(quantile(latency([0, 0, 0, 0]), 0.5)).toBeNull();
    expect(milliseconds(null)).toBe("–");
  });
});

describe("bars", () => {
  it("name their bounds and are as high as their share of the fullest", () => {
    expect(bars(latency([5, 10, 0, 1]))).toEqual([
      { label: "0 ms to 1 ms", count: 5, share: 0.5 },
      { label: "1 ms to 10 ms", count: 10, share: 1 },
      { label: "10 ms to 100 ms", count: 0, share: 0 },
      { label: "over 100 ms", count: 1, share: 0.1 },
    ]);
  });
});

describe("clientName", () => {
  const chrome =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";
  it.each([
    [chrome, "Chrome 148 on Linux"],
    [`${chrome} Edg/148.0`, "Edge 148 on Linux"],
    ["Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox 140 on Windows"],
    [
      "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 (KHTML) Version/18.1 Safari/605",
      "Safari 18 on macOS",
    ],
    ["python-requests/2.32", "python-requests/2.32"],
    ["", "Unknown client"],
  ])("reads %s", (agent, name) => expect(clientName(agent)).toBe(name));
});

describe("troubles", () => {
  const worker = (more: Partial<RealtimeWorker>): RealtimeWorker => ({
    worker: "A",
    hostname: "web-0",
    pid: 1,
    version: "",
    started_at: "",
    answered_by: true,
    mute: "",
    ready: true,
    reason: "",
    connections: { websocket: 0, polling: 0 },
    queued: { frames: 0, bytes: 0 },
    hub: {
      bus: "redis",
      bus_health: { ok: true, reconnects: 0, dropped: 0, published: 0, received: 0, undecodable: 0 },
    } as RealtimeWorker["hub"],
    latency: latency([0, 0, 0, 0]),
    foreign: null,
    sockets: {} as RealtimeWorker["sockets"],
    ...more,
  });
  const of = (...workers: RealtimeWorker[]) => troubles({ workers } as RealtimeStatus).map((t) => t.text);

  it("says nothing when all is well", () => {
    expect(of(worker({}))).toEqual([]);
  });

  it("names a worker that is not ready, why, what it means and what to check", () => {
    const bus_health = {
      ok: false,
      reason: "refused",
      reconnects: 1,
      dropped: 0,
      published: 0,
      received: 0,
      undecodable: 0,
    };
    const [text] = of(
      worker({
        ready: false,
        reason: "bus: refused",
        hub: { bus: "redis", bus_health } as RealtimeWorker["hub"],
      }),
    );
    expect(text).toContain("Worker A on web-0 is not ready: bus: refused.");
    expect(text).toContain("nothing is lost");
    expect(text).toContain("message bus (redis)");
  });

  it("names a worker that does not answer", () => {
    expect(of(worker({ mute: "no answer within 1s", ready: false }))[0]).toContain("does not answer");
  });
});
