import { describe, expect, it } from "vitest";
import type { TimelineAttempt } from "../../api/aliases";
import { criticalPath, layoutWaterfall, tickLabel } from "./waterfall";

const base = Date.parse("2026-01-01T00:00:00Z");
const at = (ms: number | null): string | null => (ms === null ? null : new Date(base + ms).toISOString());

function attempt(
  node: string,
  run: number,
  number: number,
  times: [queued: number, claimed: number, started: number | null, token: number | null, end: number | null],
): TimelineAttempt {
  const [queued, claimed, started, token, end] = times;
  return {
    node_run_id: run,
    flowchart_node_id: node,
    title: node,
    kind: "task",
    execution_index: 1,
    attempt: number,
    status: end === null ? "running" : "succeeded",
    worker: "w",
    executor: "inline",
    queued_at: at(queued) ?? "",
    claimed_at: at(claimed) ?? "",
    started_at: at(started),
    first_token_at: at(token),
    finished_at: at(end),
    error: null,
    usage: null,
  };
}

const solid = (source: string, target: string) => ({
  id: `${source}-${target}`,
  source,
  target,
  mode: "solid" as const,
});

describe("layoutWaterfall", () => {
  it("splits an attempt into waiting, dispatch, running and streaming", () => {
    const fall = layoutWaterfall([attempt("a", 1, 1, [0, 100, 150, 400, 1000])], [], base, base + 5000);
    expect(fall.bars[0]?.segments.map((s) => [s.kind, s.from - base, s.to - base])).toEqual([
      ["queued", 0, 100],
      ["dispatch", 100, 150],
      ["running", 150, 400],
      ["streaming", 400, 1000],
    ]);
    expect(fall.to - fall.from).toBe(1000);
  });

  it("lets an open attempt grow until now", () => {
    const fall = layoutWaterfall([attempt("a", 1, 1, [0, 100, 150, null, null])], [], base, base + 2000);
    expect(fall.bars[0]).toMatchObject({ open: true, to: base + 2000 });
  });

  it("puts tries of one node run below each other although another node began between them", () => {
    const fall = layoutWaterfall(
      [
        attempt("a", 1, 1, [0, 10, 20, null, 100]),
        attempt("b", 2, 1, [50, 60, 70, null, 500]),
        attempt("a", 1, 2, [200, 210, 220, null, 300]),
      ],
      [],
      base,
      base + 500,
    );
    expect(fall.bars.map((b) => b.key)).toEqual(["1/1", "1/2", "2/1"]);
  });

  it("survives a run in which nothing has been tried", () => {
    const fall = layoutWaterfall([], [], base, base);
    expect(fall.bars).toEqual([]);
    expect(fall.to).toBeGreaterThan(fall.from);
  });

  it("has few ticks whatever the span", () => {
    for (const span of [3, 950, 61_000, 9 * 3_600_000, 40 * 86_400_000]) {
      const fall = layoutWaterfall([attempt("a", 1, 1, [0, 0, 0, null, span])], [], base, base + span);
      expect(fall.ticks.length).toBeGreaterThan(1);
      expect(fall.ticks.length).toBeLessThanOrEqual(6);
    }
  });

  it("labels ticks in fitting units", () => {
    expect([0, 50, 1500, 90_000, 5_400_000].map(tickLabel)).toEqual([
      "0",
      "50 ms",
      "1.5 s",
      "1.5 min",
      "1.5 h",
    ]);
  });
});

describe("criticalPath", () => {
  const attempts = [
    attempt("start", 1, 1, [0, 1, 2, null, 10]),
    attempt("fast", 2, 1, [10, 11, 12, null, 100]),
    attempt("slow", 3, 1, [10, 11, 12, null, 300]),
    attempt("slow", 3, 2, [310, 320, 330, null, 600]),
    attempt("join", 4, 1, [600, 610, 620, null, 700]),
  ];
  const edges = [
    solid("start", "fast"),
    solid("start", "slow"),
    solid("fast", "join"),
    solid("slow", "join"),
  ];

  it("follows the parent that ended last, over its tries, back to the start", () => {
    expect([...criticalPath(attempts, edges, base + 1000)]).toEqual(["4/1", "3/2", "3/1", "1/1"]);
  });

  it("does not follow edges that start nothing", () => {
    const dotted = edges.map((e) => (e.source === "slow" ? { ...e, mode: "dotted" as const } : e));
    expect([...criticalPath(attempts, dotted, base + 1000)]).toEqual(["4/1", "2/1", "1/1"]);
  });

  it("passes through decisions, which have no attempts", () => {
    const routed = edges.map((e) =>
      e.source === "slow" ? solid("slow", "decide") : e.target === "join" ? solid("other", "join") : e,
    );
    const path = criticalPath(attempts, [...routed, solid("decide", "join")], base + 1000);
    expect([...path]).toEqual(["4/1", "3/2", "3/1", "1/1"]);
  });

  it("ends in a loop too", () => {
    const loop = [attempt("a", 1, 1, [0, 1, 2, null, 10]), attempt("a", 2, 1, [10, 11, 12, null, 20])];
    expect(criticalPath(loop, [solid("a", "a")], base + 100).size).toBe(2);
  });
});
