import { describe, expect, it } from "vitest";
import type { Envelope } from "../../api/aliases";
import { attempt, pod, task } from "../../test/attempts";
import { at } from "../../test/graphs";
import { adoptionsOf, adviceOf, dispatchOf, jobOf, kubectlOf, openInPod, podLogOf } from "./pods";

describe("an attempt in a pod", () => {
  it("names its Job and how to look at it", () => {
    const job = jobOf(pod().dispatch_id);
    expect(job).toEqual({ namespace: "llmctl", name: "llmctl-exec-11-1-ab12" });
    expect(job && kubectlOf(job)).toContain("kubectl -n llmctl describe job/llmctl-exec-11-1-ab12");
    expect([jobOf(null), jobOf("process:12")]).toEqual([null, null]);
  });

  it("says where it stands, with what it waits for", () => {
    const of = (more: Parameters<typeof pod>[0]) => dispatchOf(attempt({ pod: pod(more) }));
    expect(of({ dispatch_status: "dispatch_pending", uid: null })?.label).toBe("Asked for");
    const waits = of({ dispatch_status: "dispatch_submitted", uid: null, note: "The pod finds no machine" });
    expect(waits?.label).toBe("Waiting for its pod");
    expect(waits?.text).toMatch(/ The pod finds no machine\.$/);
    expect(of({})?.text).toBe("It runs in the pod 7c1d-uid.");
    expect(of({ dispatch_uncertain: true })?.label).toBe("Fate unknown");
    expect(dispatchOf(attempt())).toBeNull();
  });

  it("tells one that never started from one that ended", () => {
    const ended = (more: Parameters<typeof pod>[0]) =>
      dispatchOf(attempt({ finished_at: at(900), pod: pod(more) }))?.label;
    expect(ended({ dispatch_status: "dispatch_failed", uid: null })).toBe("Never started");
    expect(ended({ dispatch_uncertain: true })).toBe("Ended");
  });

  it("finds the one that is open", () => {
    const done = attempt({ pod: pod(), finished_at: at(1) });
    const open = attempt({ number: 2, pod: pod() });
    expect(openInPod(task({ attempts: [done, open] }))).toBe(open);
    expect(openInPod(task({ attempts: [done, attempt({ number: 2 })] }))).toBeNull();
  });

  it("says which setting helps a node that needed more memory", () => {
    expect(adviceOf("out_of_memory")?.text).toContain("Memory limit");
    expect(adviceOf("out_of_memory")?.where).toBe("both");
    expect(adviceOf("exit_status")).toBeNull();
  });

  it("knows from the events who took it over", () => {
    const event = (n: number, entity_id: string, payload: Envelope["payload"]) =>
      ({ sequence: n, entity_kind: "task", entity_id, payload, emitted_at: at(n) }) as Envelope;
    const events = [
      event(1, "11", { transition: "started", attempt: 1 }),
      event(2, "11", { transition: "adopted", attempt: 1 }),
      event(3, "11", { transition: "adopted", attempt: 2 }),
      event(4, "12", { transition: "adopted", attempt: 1 }),
    ];
    expect(adoptionsOf(events, 11, 1)).toEqual([at(2)]);
  });
});

describe("the log of a pod", () => {
  const piece = (seq: number, text: string) => ({ seq, at: at(seq), text });

  it("has the time of day in front of each line, aligned", () => {
    const log = podLogOf([
      piece(1, "2026-01-01T10:00:00.123456789Z one\n2026-01-01T10:00:00.5Z two\n"),
      piece(2, "2026-01-01T10:00:01Z three: 2026-01-01T10:00:01Z\n"),
    ]);
    expect(log.text.split("\n")).toEqual([
      "10:00:00.123  one",
      "10:00:00.500  two",
      "10:00:01.000  three: 2026-01-01T10:00:01Z",
    ]);
    expect([log.lines, log.cut]).toEqual([3, null]);
  });

  it("says when it was cut", () => {
    const log = podLogOf([
      piece(1, "2026-01-01T10:00:00Z one\n"),
      piece(2, "2026-01-01T10:00:01Z The log goes on; 1024 KiB of it are kept.\n"),
    ]);
    expect(log.cut).toBe("The pod wrote more. The first 1024 KiB are kept.");
    expect(log.lines).toBe(1);
  });

  it("is empty where nothing was written", () => {
    expect(podLogOf([])).toEqual({ text: "", lines: 0, cut: null });
  });
});
