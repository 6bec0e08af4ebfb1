import { describe, expect, it } from "vitest";
import type { Calendar, ScheduleFiring, SystemTask } from "../../api/aliases";
import { ApiError } from "../../api/client";
import {
  everyWords,
  faultOf,
  intervalWords,
  lookOfFiring,
  marksOf,
  ticksOf,
  troubleOf,
  until,
  wordsOfFiring,
} from "./model";

const calendar: Calendar = {
  from: "2026-05-01T00:00:00Z",
  bucket_seconds: 900,
  bucket_count: 96,
  truncated: false,
  schedules: [
    {
      schedule_id: 1,
      name: "a",
      buckets: [
        { index: 0, count: 1 },
        { index: 48, count: 3 },
      ],
    },
  ],
};

const firing = (more: Partial<ScheduleFiring>): ScheduleFiring => ({
  id: 1,
  due_at: "2026-05-01T00:00:00Z",
  fired_at: "2026-05-01T00:00:00Z",
  origin: "due",
  outcome: "started",
  missed: 0,
  reason: "",
  message: "",
  flowchart_run_id: 7,
  run_status: "running",
  node_run_id: null,
  ...more,
});

it("says an interval in its largest whole unit", () => {
  expect([60, 5_400, 7_200, 86_400, 90].map(intervalWords)).toEqual([
    "every minute",
    "every 90 minutes",
    "every 2 hours",
    "every day",
    "every 90 seconds",
  ]);
});

const canary = (finished_at: string): SystemTask => ({
  kind: "system",
  name: "canary",
  host: "",
  period_seconds: 10,
  next_at: null,
  late_seconds: 0,
  started_at: finished_at,
  finished_at,
  running: false,
  outcome: "succeeded",
  error: "",
  detail: {},
});

describe("schedules", () => {
  it("says how long it is until a time", () => {
    const cases: [number, string][] = [
      [-5_000, "now"],
      [20_000, "in 20 s"],
      [5 * 60_000, "in 5 min"],
      [2 * 3_600_000, "in 2 h"],
      [2.5 * 3_600_000, "in 2 h 30 min"],
      [50 * 3_600_000, "in 2 d 2 h"],
    ];
    for (const [ms, want] of cases) expect(until(1_000_000 + ms, 1_000_000)).toBe(want);
  });

  it("places firings on the strip, the busiest ones strongest", () => {
    const strip = calendar.schedules[0];
    expect(strip).toBeDefined();
    const ticks = strip ? ticksOf(calendar, strip) : [];
    expect(ticks.map((t) => t.left)).toEqual([0, 50]);
    expect(ticks[1]?.strength).toBe(1);
    expect(ticks[1]?.at).toBe(Date.parse("2026-05-01T12:00:00Z"));
  });

  it("labels the axis every three hours of a day and every day of a week", () => {
    const hours = marksOf(calendar).map((m) => m.left);
    expect(hours.length).toBeGreaterThanOrEqual(7);
    expect((hours[1] ?? 0) - (hours[0] ?? 0)).toBeCloseTo(12.5);
    expect(everyWords(600)).toBe("every 10 min");
    expect(everyWords(2)).toBe("every 2 s");
    const week = marksOf({ ...calendar, bucket_seconds: 3_600, bucket_count: 168 });
    expect(week.length).toBeGreaterThanOrEqual(7);
    expect(week.every((m) => m.left >= 0 && m.left < 100)).toBe(true);
  });

  it("shows what became of a firing", () => {
    expect(lookOfFiring(firing({}))).toBe("running");
    expect(lookOfFiring(firing({ outcome: "failed", flowchart_run_id: null, run_status: "" }))).toBe(
      "failed",
    );
    expect(wordsOfFiring(firing({ outcome: "missed", missed: 4 }))).toBe("Missed 4 times");
    expect(wordsOfFiring(firing({ origin: "catch_up" }))).toBe("Started late");
  });

  it("finds what an error says of a field", () => {
    const error = new ApiError(
      422,
      "invalid",
      "schedule.invalid",
      "No.",
      [{ location: "body.cron", message: 'minute is "61"' }],
      "",
    );
    expect(faultOf(error, "cron")).toBe('This minute is "61".');
    expect(faultOf(error, "name")).toBeUndefined();
    expect(faultOf(new Error("x"), "cron")).toBeUndefined();
  });

  it("says that no scheduler runs, or that it does not work", () => {
    const now = Date.parse("2026-05-01T00:10:00Z");
    expect(troubleOf(0, [], now)).toContain("llmctl beat");
    expect(troubleOf(1, [canary("2026-05-01T00:09:50Z")], now)).toBeNull();
    expect(troubleOf(1, [canary("2026-05-01T00:05:00Z")], now)).toContain("canary");
  });
});
