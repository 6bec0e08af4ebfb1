import { describe, expect, it } from "vitest";
import { detail, file, job, plan } from "../../test/downloads";
import { envelope } from "../../test/realtime";
import {
  eta,
  foldersOf,
  headline,
  obstacle,
  patternsOf,
  percent,
  reduceDownload,
  sorted,
  sparkPath,
} from "./model";

const event = (sequence: number, payload: Record<string, unknown>) => ({
  ...envelope("download_job:1", sequence),
  event_type: "download:job:updated",
  payload,
});

describe("a download after an event", () => {
  it("takes the job and the files that changed, and keeps the others", () => {
    const before = detail({ files: [file({ id: 1, path: "a" }), file({ id: 2, path: "b" })] });
    const next = reduceDownload(
      before,
      event(6, {
        download_job: job({ bytes_done: 70, bytes_per_second: 9 }),
        files: [{ id: 2, status: "downloading", bytes_done: 5, ranges: [[0, 5]], bytes_per_second: 3 }],
      }),
    );
    if (next === "refetch") throw new Error("the event says enough");
    expect(next.bytes_done).toBe(70);
    expect(next.as_of.sequence).toBe(6);
    expect(next.files[0]).toBe(before.files[0]);
    expect(next.files[1]).toMatchObject({ path: "b", size: 100, bytes_done: 5, ranges: [[0, 5]] });
  });

  it("forgets the speed of a file that does not move any more", () => {
    const before = detail({ files: [file({ id: 1, bytes_per_second: 7, eta_seconds: 3 })] });
    const change = { id: 1, status: "succeeded", bytes_done: 100, ranges: [[0, 100]] };
    const next = reduceDownload(before, event(6, { download_job: job({}), files: [change] }));
    expect(next !== "refetch" && next.files[0]).not.toHaveProperty("bytes_per_second");
  });

  it("ignores what it knows already, and loads again when an attempt begins or ends", () => {
    const before = detail({});
    expect(reduceDownload(before, event(5, { download_job: job({ bytes_done: 99 }) }))).toBe(before);
    expect(reduceDownload(before, event(6, { download_job: job({ attempt: 2 }) }))).toBe("refetch");
    expect(reduceDownload(before, event(7, { download_job: job({ bytes_done: 99 }) }))).toBe("refetch");
    expect(reduceDownload(before, event(6, { download_job: job({ status: "succeeded" }) }))).toBe("refetch");
  });
});

describe("words", () => {
  it("says what is happening", () => {
    expect(headline(job({ bytes_done: 50, bytes_per_second: 10, eta_seconds: 5 }))).toBe(
      "50 B of 100 B, 10 B/s, 5.0 s left",
    );
    const order = { asked: "pause" as const, asked_at: "", confirmed: false, confirmed_at: null };
    expect(headline(job({ order }))).toContain("waiting for the worker");
  });

  it("never says all before all is there", () => {
    expect(percent(9_999_999, 10_000_000)).toBe("99.9 %");
    expect(percent(10, 10)).toBe("100 %");
    expect(percent(0, 0)).toBe("100 %");
    expect(eta(null)).toBe("–");
  });

  it("takes patterns one a line or with commas", () => {
    expect(patternsOf(" *.json\n\n*.bin, a/* ")).toEqual(["*.json", "*.bin", "a/*"]);
  });
});

describe("a plan", () => {
  it("tells what stands in its way, with the numbers", () => {
    expect(obstacle(plan({}))).toBeNull();
    expect(obstacle(plan({ files_total: 0 }))).toContain("No file");
    expect(obstacle(plan({ complete: true }))).toContain("already");
    const tight = plan({ fits: false, bytes_to_fetch: 900, disk: { free: 600, total: 1000, reserve: 100 } });
    expect(obstacle(tight)).toContain("Free 400 B");
  });

  it("groups files by folder and filters them", () => {
    const files = plan({}).files;
    expect(foldersOf(files, "").map((f) => [f.name, f.files.length, f.selected])).toEqual([
      ["", 2, 1],
      ["sub", 1, 1],
    ]);
    expect(foldersOf(files, "MODEL").map((f) => f.name)).toEqual(["sub"]);
  });
});

it("shows what moves first and what is done last", () => {
  const files = [
    file({ id: 1, path: "z", status: "succeeded" }),
    file({ id: 2, path: "b", status: "pending" }),
    file({ id: 3, path: "a", status: "downloading" }),
    file({ id: 4, path: "c", status: "failed" }),
  ];
  expect(sorted(files).map((f) => f.path)).toEqual(["c", "a", "b", "z"]);
});

it("draws a line within its box", () => {
  expect(sparkPath([1], 10, 10)).toBe("");
  expect(sparkPath([0, 10, 5], 10, 10)).toBe("M0.0 10.0L5.0 0.0L10.0 5.0");
});
