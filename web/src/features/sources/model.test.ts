import { describe, expect, it } from "vitest";
import { envelope } from "../../test/realtime";
import { counts, indexRun, running, source } from "../../test/sources";
import {
  funnelOf,
  headline,
  headlineOfRun,
  leftOutWords,
  leftWords,
  lookOfRun,
  lookOfSource,
  newsOf,
  perSecond,
  placeOf,
  positionWords,
  rateOf,
  ratesOf,
  type Sample,
  sampled,
  withRun,
} from "./model";

describe("what a source looks like", () => {
  it("says whether it waits for a plan to be applied or is paused", () => {
    const waiting = (status: "planned" | "paused") =>
      lookOfSource(source({ status: "waiting", active_run: running({ status }) })).label;
    expect([waiting("planned"), waiting("paused")]).toEqual(["Plan ready", "Paused"]);
  });

  it("is indexed in part where files of the last run failed", () => {
    const last_run = indexRun({ counts: counts({ failed: 2 }) });
    expect(lookOfSource(source({ last_run }))).toEqual({ status: "degraded", label: "Indexed in part" });
    expect(lookOfRun(last_run).label).toBe("In part");
    expect(lookOfSource(source())).toEqual({ status: "succeeded", label: "Indexed" });
  });

  it("shows that a pause was asked for while files are still in hand", () => {
    expect(lookOfRun(running({ pause_requested: true })).label).toBe("Pausing");
    expect(lookOfRun(running({ status: "paused", pause_requested: true })).label).toBe("Paused");
  });

  it("says that a run waits for its provider, and until when", () => {
    const message = "Waiting for the embedding provider (rate_limit) until 10:31:05 UTC.";
    const error = { code: "waiting_for_provider", message, until: "2026-01-02T10:31:05Z" };
    const run = running({ error, counts: counts({ added: 10, done: 3 }) });
    expect(lookOfRun(run)).toEqual({ status: "waiting", label: "Waiting for the provider" });
    expect(headlineOfRun(run)).toBe(`${message} 3 of 10 files done.`);
    expect(lookOfRun({ ...run, error: null }).label).toBe("Indexing");
    expect(lookOfRun({ ...run, status: "failed" }).label).toBe("Failed");
  });

  it("says in one line what happens, why, and what searches see meanwhile", () => {
    const error = { code: "x", message: "The token was refused.", at: "" };
    expect(headline(source({ index: null }))).toMatch(/not indexed yet/);
    expect(headline(source({ index: null, error }))).toBe("The token was refused. There is no index yet.");
    expect(headline(source({ error }))).toMatch(/refused\. Searches still see the index of before/);
    expect(headline(source())).toBe("12 files in 340 chunks, vectors of embedder.");
    const active_run = running({ counts: counts({ added: 10, done: 3, failed: 1 }) });
    expect(headline(source({ active_run }))).toBe("4 of 10 files done.");
  });

  it("says what a plan will do, and when it does nothing", () => {
    const plan = (c: Parameters<typeof counts>[0]) =>
      headlineOfRun(running({ status: "planned", counts: counts(c) }));
    expect(plan({ added: 1_200, removed: 1 })).toMatch(/^1,200 to add, 1 to remove\./);
    expect(plan({ kept: 5 })).toMatch(/^Nothing has changed/);
    expect(headlineOfRun(indexRun({ counts: counts({ changed: 2, failed: 1 }) }))).toBe(
      "2 changed; 1 file failed.",
    );
  });

  it("names where its files come from", () => {
    expect(placeOf(source({ subfolder: "docs" }))).toBe("git.example.org/handbook/docs · main");
    expect(placeOf(source({ kind: "local", path: "/srv/docs" }))).toBe("/srv/docs");
    expect(placeOf(source({ kind: "google_drive", folder_id: "abc" }))).toBe("folder abc");
  });

  it("says positions and what was left out in words", () => {
    const at = (line_start: number, line_end: number, page = 0) =>
      positionWords({ line_start, line_end, page });
    expect([at(3, 9), at(3, 3), at(0, 0, 2), at(0, 0)]).toEqual(["lines 3–9", "line 3", "page 2", ""]);
    expect(leftOutWords(counts({ excluded: 3, binary: 1 }))).toEqual([
      "3 excluded by patterns",
      "1 not text",
    ]);
  });
});

describe("the funnel", () => {
  const values = (run: Parameters<typeof funnelOf>[0]) => funnelOf(run).map((s) => s.value);

  it("knows only what was found before there is a plan", () => {
    const run = running({ status: "planning", planned_at: null, counts: counts({ found: 50 }) });
    expect(values(run)).toEqual([50, null, null, null, null]);
  });

  it("goes from found to stored, each as far as it is", () => {
    const c = counts({
      found: 100,
      added: 15,
      changed: 5,
      kept: 80,
      done: 8,
      failed: 2,
      chunks: 60,
      embedded: 30,
    });
    const usage = { tokens: 900, cost_micros: 1800, currency: "EUR" };
    const steps = funnelOf(running({ counts: { ...c, tokens: 900 }, usage }));
    expect(steps[2]?.note).toBe("900 tokens, 0.0018 EUR");
    expect(steps.map((s) => s.value)).toEqual([100, 20, 60, 30, 8]);
    expect(steps.map((s) => Math.round(s.share * 100))).toEqual([100, 100, 50, 25, 40]);
    expect(steps.map((s) => s.width)).toEqual([1, 0.2, 0.2, 0.2, 0.2]);
    expect(steps[1]?.note).toBe("+15 ~5 −0");
    expect(steps[4]?.note).toBe("2 failed");
  });

  it("has no embedding without a model", () => {
    const steps = funnelOf(
      indexRun({ embedder: null, counts: counts({ found: 2, added: 2, done: 2, chunks: 4 }) }),
    );
    expect(steps[3]).toMatchObject({ value: null, note: "no embedding model", share: 0 });
    expect(steps[4]?.share).toBe(1);
  });

  it("is full where there was nothing to do", () => {
    expect(funnelOf(indexRun({ counts: counts({ found: 9, kept: 9 }) })).map((s) => s.share)).toEqual([
      1, 1, 1, 1, 1,
    ]);
  });
});

describe("rates", () => {
  const at = (seconds: number, done: number): Sample => ({
    at: seconds * 1_000,
    files: done,
    chunks: done * 3,
  });

  it("are those of the last ten seconds", () => {
    const samples = [at(0, 0), at(50, 100), at(55, 150), at(60, 200)];
    expect(rateOf(samples, "files")).toBe(10);
    expect(rateOf(samples, "chunks")).toBe(30);
    expect(rateOf([], "files")).toBe(0);
    expect(rateOf([at(1, 5)], "files")).toBe(0);
    expect(ratesOf(samples, "files")).toEqual([2, 10, 10]);
    expect([perSecond(0), perSecond(2.34), perSecond(1_234.4)]).toEqual(["", "2.3/s", "1,234/s"]);
  });

  it("begin again where counts go back, and forget what is old", () => {
    const run = (done: number) => running({ counts: counts({ added: 500, done, embedded: done * 3 }) });
    const first = sampled([], run(5), 1_000);
    expect(sampled(first, run(5), 1_500)).toBe(first);
    expect(sampled(first, run(9), 2_000)).toHaveLength(2);
    expect(sampled(first, run(2), 2_000)).toEqual([{ at: 2_000, files: 2, chunks: 6 }]);
    expect(sampled(first, run(90), 200_000)).toHaveLength(1);
    expect(leftWords(run(100), 4)).toBe("1 min 40 s");
    expect(leftWords(run(500), 4)).toBe("");
  });
});

describe("news", () => {
  it("are of the stream's source", () => {
    const run = running();
    const payload = { source_id: 2, change: "index", index_run: run };
    const e = { ...envelope("rag_source:2", 5), payload };
    expect(newsOf(e)).toEqual({ sourceId: 2, change: "index", source: null, run });
    expect(newsOf(envelope("thread:2", 5))).toBeNull();
  });

  it("of a run change its source, and older ones do not", () => {
    const idle = source({ last_run: indexRun({ id: 30 }) });
    const busy = withRun(idle, running({ id: 31 }));
    expect(busy).toMatchObject({ status: "indexing", active_run: { id: 31 } });
    const done = withRun(busy, indexRun({ id: 31 }));
    expect(done).toMatchObject({ active_run: null, last_run: { id: 31 } });
    expect(withRun(done, running({ id: 31 }))).toBe(done);
    expect(withRun(busy, running({ id: 29 }))).toBe(busy);
  });
});
