import { describe, expect, it } from "vitest";
import type { Envelope, JsonObject, LogItem, RunDetail } from "../../api/aliases";
import {
  headline,
  latestByNode,
  mergeLogs,
  mergeReceipt,
  reduceRun,
  shownStatus,
  streamedText,
  usageOf,
} from "./model";

const stream = "flowchart_run:7";

const detail: RunDetail = {
  flowchart_run: {
    id: 7,
    flowchart_id: 3,
    version: 1,
    status: "running",
    input: { text: "hello" },
    output: null,
    error: null,
    retry_of: null,
    retry_from: null,
    paused_at: null,
    schedule_id: null,
    due_at: null,
    created_at: "2026-01-01T00:00:00Z",
    started_at: "2026-01-01T00:00:01Z",
    finished_at: null,
    deadline_at: null,
  },
  node_runs: [],
  as_of: { stream, sequence: 4 },
};

const envelope = (
  sequence: number,
  event_type: string,
  entity: [string, string],
  payload: JsonObject,
): Envelope => ({
  contract_version: "v1",
  event_id: `e${sequence}`,
  idempotency_key: `e${sequence}`,
  sequence,
  sequence_stream: stream,
  emitted_at: "2026-01-01T00:00:02Z",
  event_type,
  entity_kind: entity[0],
  entity_id: entity[1],
  room_keys: [stream],
  request_id: "",
  correlation_id: "",
  runtime: null,
  payload,
});

const node = (sequence: number, status: string, more: JsonObject = {}) =>
  envelope(sequence, "node:task:updated", ["task", "55"], {
    flowchart_node_id: "ask",
    kind: "task",
    title: "Ask",
    status,
    attempt: 1,
    execution_index: 1,
    current_stage: null,
    started_at: null,
    finished_at: null,
    ...more,
  });

const reduce = (from: RunDetail, ...events: Envelope[]): RunDetail =>
  events.reduce<RunDetail>((d, e) => {
    const next = reduceRun(d, e);
    if (next === "refetch") throw new Error("asked to load again");
    return next;
  }, from);

describe("reduceRun", () => {
  it("adds and updates node runs in order", () => {
    const after = reduce(
      detail,
      node(5, "queued"),
      node(6, "running", { started_at: "2026-01-01T00:00:03Z", current_stage: "llm_query" }),
    );
    expect(after.node_runs).toHaveLength(1);
    expect(after.node_runs[0]).toMatchObject({ id: 55, status: "running", current_stage: "llm_query" });
    expect(after.as_of.sequence).toBe(6);
  });

  it("ignores what the snapshot already contains and other streams", () => {
    expect(reduceRun(detail, node(4, "queued"))).toBe(detail);
    expect(reduceRun(detail, { ...node(5, "queued"), sequence_stream: "flowchart_run:8" })).toBe(detail);
  });

  it("clears a stage and a time that are gone, keeps values that were left out", () => {
    const running = reduce(
      detail,
      node(5, "running", { current_stage: "init", usage: { input_tokens: 1, output_tokens: 2 } }),
    );
    const again = reduce(running, node(6, "queued", { attempt: 2, usage: null }));
    expect(again.node_runs[0]).toMatchObject({ attempt: 2, current_stage: null, usage: { input_tokens: 1 } });
  });

  it("asks to load again when an event leaves out too much", () => {
    expect(reduceRun(detail, node(5, "succeeded", { output_omitted: true }))).toBe("refetch");
    expect(reduceRun(detail, envelope(5, "node:task:updated", ["task", "99"], { status: "running" }))).toBe(
      "refetch",
    );
  });

  it("keeps the input that run events leave out", () => {
    const run: JsonObject = {
      id: 7,
      flowchart_id: 3,
      version: 1,
      status: "cancelling",
      input: null,
      output: null,
    };
    const after = reduce(
      detail,
      envelope(5, "flowchart:run:updated", ["flowchart_run", "7"], { flowchart_run: run }),
    );
    expect(after.flowchart_run).toMatchObject({ status: "cancelling", input: { text: "hello" } });
  });
});

describe("derived", () => {
  it("takes the newest execution of a node", () => {
    const [first] = reduce(detail, node(5, "succeeded")).node_runs;
    if (!first) throw new Error("no node run");
    const latest = latestByNode([{ ...first, id: 60, status: "running" }, first]);
    expect(latest.get("ask")?.id).toBe(60);
  });

  it("says in one line what happens", () => {
    expect(headline(detail)).toBe("Choosing what runs next");
    expect(headline(reduce(detail, node(5, "queued")))).toBe("Ask is waiting for a free worker");
    expect(headline(reduce(detail, node(5, "running")))).toBe("Running Ask");
  });

  it("adds up tokens", () => {
    const d = reduce(detail, node(5, "succeeded", { usage: { input_tokens: 10, output_tokens: 4 } }));
    expect(usageOf(d)).toEqual({ input: 10, output: 4 });
  });
});

describe("logs", () => {
  const item = (sequence: number, text = String(sequence), attempt = 1): LogItem => ({
    sequence,
    attempt,
    offset: 0,
    stage: "llm_query",
    type: "delta",
    text,
    emitted_at: "",
  });

  it("appends in order without a gap", () => {
    const { merged, gap } = mergeLogs([item(1)], [item(2), item(3)]);
    expect(merged.map((i) => i.sequence)).toEqual([1, 2, 3]);
    expect(gap).toBe(false);
  });

  it("drops doubles and sorts", () => {
    const known = [item(1), item(2)];
    expect(mergeLogs(known, [item(2)]).merged).toBe(known);
    const { merged, gap } = mergeLogs(known, [item(4), item(2), item(3)]);
    expect(merged.map((i) => i.sequence)).toEqual([1, 2, 3, 4]);
    expect(gap).toBe(false);
  });

  it("tells a gap, and closes it", () => {
    const { merged, gap } = mergeLogs([item(1)], [item(4)]);
    expect(gap).toBe(true);
    expect(mergeLogs(merged, [item(2), item(3)]).merged.map((i) => i.sequence)).toEqual([1, 2, 3, 4]);
  });

  it("joins the text of one attempt", () => {
    expect(streamedText([item(1, "Hel"), item(2, "lo"), item(3, "new", 2)], 1)).toBe("Hello");
    expect(streamedText([{ ...item(1, "log"), type: "log" }], 1)).toBe("");
  });
});

describe("a run that is held, stopped or continued", () => {
  const runEvent = (sequence: number, more: JsonObject) =>
    envelope(sequence, "flowchart:run:updated", ["flowchart_run", "7"], {
      flowchart_run: { ...detail.flowchart_run, ...more },
    });
  const reduced = (from: RunDetail, e: Envelope): RunDetail => {
    const next = reduceRun(from, e);
    if (next === "refetch") throw new Error("refetch");
    return next;
  };

  it("is no longer paused when the event says so", () => {
    const paused = reduced(detail, runEvent(5, { status: "paused", paused_at: "2026-01-01T00:00:03Z" }));
    expect(paused.flowchart_run.paused_at).toBe("2026-01-01T00:00:03Z");
    const resumed = reduced(paused, runEvent(6, { status: "running", paused_at: null }));
    expect(resumed.flowchart_run.paused_at).toBeNull();
  });

  it("says what it is held before", () => {
    const held = reduced(reduced(detail, node(5, "pending")), runEvent(6, { status: "paused" }));
    expect(headline(held)).toBe("Paused before Ask");
  });

  it("collects the receipts that node events bring", () => {
    const receipt = { node_run_id: 55, attempt: 1, how: null, asked_at: "2026-01-01T00:00:03Z" };
    const asked = reduced(detail, node(5, "cancelling", { cancellation: receipt }));
    expect(asked.flowchart_run.cancellation).toMatchObject({ asked: 1, confirmed: 0 });
    const confirmed = reduced(asked, node(6, "cancelled", { cancellation: { ...receipt, how: "stopped" } }));
    expect(confirmed.flowchart_run.cancellation).toMatchObject({ asked: 1, confirmed: 1 });
    const other = { ...confirmed.flowchart_run.cancellation?.receipts[0], node_run_id: 56, how: null };
    expect(mergeReceipt(confirmed.flowchart_run.cancellation, other as never)).toMatchObject({
      asked: 2,
      confirmed: 1,
    });
  });

  it("shows what was taken over from an earlier run as such", () => {
    const [one] = reduced(detail, node(5, "succeeded", { reused_from: 12 })).node_runs;
    expect(one && shownStatus(one)).toBe("reused");
    const [other] = reduced(detail, node(5, "succeeded")).node_runs;
    expect(other && shownStatus(other)).toBe("succeeded");
  });
});
