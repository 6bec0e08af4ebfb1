import { describe, expect, it } from "vitest";
import { bounds, queue, times, worker } from "../../test/queues";
import { points, shade } from "../../ui/charts";
import {
  bucketNames,
  colorOf,
  labelOf,
  lookOfQueue,
  rate,
  seconds,
  timesText,
  totalsOf,
  trimmed,
  workerTroubles,
} from "./model";

describe("a queue in words", () => {
  it("says the worst first", () => {
    const paused = { since: "2026-01-02T03:00:00Z", by: "ada@example.org" };
    expect(lookOfQueue(queue({ paused, no_consumer: true })).label).toBe("Paused");
    expect(lookOfQueue(queue({ no_consumer: true, consumers: 0 })).label).toBe("Nobody takes it");
    expect(lookOfQueue(queue({ consumers: 0 })).label).toBe("No worker");
    expect(lookOfQueue(queue({ running: 1 })).label).toBe("Working");
    expect(lookOfQueue(queue()).label).toBe("Idle");
  });

  it("adds up", () => {
    const queues = [
      queue({ waiting: 3, running: 1, dead: 2, finished_per_minute: { m1: 4, m5: 0, m60: 0 } }),
      queue({ waiting: 4, finished_per_minute: { m1: 0.5, m5: 0, m60: 0 } }),
    ];
    expect(totalsOf(queues)).toEqual({ waiting: 7, running: 1, finished: 4.5, dead: 2 });
  });

  it("keeps the name of a queue that it does not know", () => {
    expect(labelOf("llmctl_studio.rag.git")).toBe("Git");
    expect(labelOf("other")).toBe("other");
    expect(colorOf("llmctl_studio")).not.toBe(colorOf("llmctl_studio.rag.git"));
  });
});

describe("times and rates", () => {
  it("keeps the digits of what is short", () => {
    expect(seconds(null)).toBe("–");
    expect(seconds(0.00125)).toBe("1.25 ms");
    expect(seconds(0.25)).toBe("250 ms");
    expect(seconds(90)).toBe("1 min 30 s");
    expect(rate(0.01)).toBe("0");
    expect(rate(1234.5)).toBe("1,230");
  });

  it("names the buckets, and shows those that hold something", () => {
    const names = bucketNames(bounds);
    expect(names).toHaveLength(bounds.length + 1);
    expect([names[0], names[9], names[15], names[17]]).toEqual(["≤ 1 ms", "≤ 1 s", "≤ 5 min", "> 30 min"]);
    expect(trimmed([0, 0, 3, 0, 2, 0, 0])).toEqual([0, 3, 0, 2, 0]);
    expect(trimmed([5, 0, 0])).toEqual([5, 0]);
    expect(trimmed([0, 0])).toEqual([]);
  });

  it("tells a distribution in a sentence", () => {
    expect(timesText("Waiting", times())).toBe("Waiting: nothing in the last hour");
    const some = times({ count: 2, p50_seconds: 0.002, p95_seconds: 1.5, p99_seconds: 2 });
    expect(timesText("Waiting", some)).toBe(
      "Waiting in the last hour: half within 2 ms, 95% within 1.5 s, 99% within 2.0 s",
    );
  });
});

describe("the workers' troubles", () => {
  const list = (...items: ReturnType<typeof worker>[]) => ({
    at: "",
    items,
    next_cursor: null,
    slots: { total: 0, busy: 0 },
  });

  it("names what to do", () => {
    expect(workerTroubles(list())[0]).toMatch(/^No worker is running/);
    expect(workerTroubles(list(worker({ ended_at: "2026-01-02T03:00:00Z", state: "dead" })))[0]).toMatch(
      /^No worker is running/,
    );
    expect(workerTroubles(list(worker({ state: "draining" })))[0]).toMatch(/^Every worker is draining/);
    expect(workerTroubles(list(worker(), worker({ state: "suspect", beat_age_seconds: 9 })))[0]).toMatch(
      /^Worker box \(process 42\) has been silent for 9\.0 s\./,
    );
    expect(workerTroubles(list(worker(), worker({ state: "draining" })))).toEqual([]);
  });
});

describe("charts", () => {
  it("puts the fullest value at the top", () => {
    expect(points([0, 5, 10], 10, 20)).toBe("0.00,20.00 50.00,10.00 100.00,0.00");
    expect(points([3], 3, 20)).toBe("0.00,0.00");
  });

  it("lets few be seen beside many", () => {
    expect(shade(1, 1)).toBe(1);
    expect(shade(1, 10_000)).toBeGreaterThan(0.2);
    expect(shade(10_000, 10_000)).toBe(1);
  });
});
