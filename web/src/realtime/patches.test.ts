import { QueryClient } from "@tanstack/react-query";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Envelope, FlowchartRun, RunDetail } from "../api/aliases";
import { runKeys } from "../features/runs/api";
import { flowchartRun } from "../test/graphs";
import { envelope } from "../test/realtime";
import { CachePatcher } from "./patches";

const stream = "flowchart_run:5";
const snapshot = (sequence: number, status: FlowchartRun["status"]): RunDetail => ({
  flowchart_run: flowchartRun({ id: 5, status }),
  node_runs: [],
  as_of: { stream, sequence },
});
const event = (sequence: number, status: FlowchartRun["status"]): Envelope => ({
  ...envelope(stream, sequence),
  payload: { flowchart_run: flowchartRun({ id: 5, status, finished_at: null }) },
});

let patcher: CachePatcher | undefined;
afterEach(() => patcher?.stop());

describe("a snapshot that is loaded", () => {
  it("is followed by the events that were shown before it came", async () => {
    const cache = new QueryClient();
    patcher = new CachePatcher(cache);
    const load = (detail: RunDetail) =>
      cache.fetchQuery({ queryKey: runKeys.detail(5), queryFn: () => Promise.resolve(detail) });
    await load(snapshot(1, "queued"));
    patcher.apply(event(2, "running"));
    patcher.apply(event(3, "cancelling"));
    // Made before the events, answered after them.
    await load(snapshot(1, "queued"));
    await vi.waitFor(() => {
      const detail = cache.getQueryData<RunDetail>(runKeys.detail(5));
      expect(detail?.as_of.sequence).toBe(3);
      expect(detail?.flowchart_run.status).toBe("cancelling");
    });
  });
});
