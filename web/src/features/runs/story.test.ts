import { describe, expect, it } from "vitest";
import { attempt, task } from "../../test/attempts";
import { at } from "../../test/graphs";
import { countsOf, endOf, holder } from "./story";

describe("the story of an attempt", () => {
  it("names who held it", () => {
    expect(holder(attempt({}))).toBe("alpha, process 42, version 1.2");
  });

  it("says why it ended, with the end of its worker where that was the reason", () => {
    const base = attempt({}).worker;
    expect(endOf(attempt({}))).toBe("It runs.");
    expect(endOf(attempt({ cancel_requested_at: at(0) }))).toContain("has not confirmed");
    expect(endOf(attempt({ ended: "worker_died", worker: { ...base, declared_dead_at: at(0) } }))).toContain(
      "declared dead at",
    );
    expect(endOf(attempt({ ended: "worker_died", worker: { ...base, stopped_at: at(0) } }))).toContain(
      "without handing it over",
    );
    expect(endOf(attempt({ ended: "forced_after_grace" }))).toContain("did not confirm in time");
    expect(endOf(attempt({ ended: "cancelled", cancel_requested_at: at(0) }))).toMatch(
      /asked to stop at .* and did/,
    );
    const ends = ["succeeded", "degraded", "failed", "timed_out", "cancelled", "handed_over"] as const;
    const lines = ends.map((ended) => endOf(attempt({ ended })));
    expect(new Set(lines).size).toBe(ends.length);
  });

  it("counts what was lost and what failed", () => {
    expect(countsOf(task({}))).toEqual([]);
    expect(countsOf(task({ lost: 2 }))).toEqual(["Lost with its worker 2 of at most 3 times."]);
    expect(countsOf(task({ lost: 3 }))[0]).toContain("not tried again");
    expect(countsOf(task({ failures: 1, max_attempts: 4 }))).toEqual([
      "Failed by itself in 1 of at most 4 tries.",
    ]);
    const later = new Date(Date.now() + 60_000).toISOString();
    expect(countsOf(task({ status: "pending", run_after: later }))[0]).toContain("The next try begins at");
  });
});
