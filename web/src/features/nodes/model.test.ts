import { describe, expect, it } from "vitest";
import type { NodeTask, Stage } from "../../api/aliases";
import { attempt, task } from "../../test/attempts";
import { at } from "../../test/graphs";
import { emptyDraft, headline, modeLabel, obstacle, requestOf, whyNotCancel, whyNotRetry } from "./model";

const quick = (more: Partial<NodeTask> = {}): NodeTask =>
  task({ flowchart_id: null, flowchart_run_id: null, ...more });
const stage: Stage = {
  key: "llm_query",
  label: "RAG Indexing",
  status: "running",
  started_at: at(0),
  finished_at: null,
  log_lines: 0,
};

describe("the headline of a node", () => {
  const say = (more: Partial<NodeTask>, now = 0) => headline(quick(more), [stage], Date.parse(at(now)));
  it("says what it waits for", () => {
    expect(say({ status: "queued", queue: "llmctl_studio.rag.index" })).toContain("llmctl_studio.rag.index");
    expect(say({ status: "queued", attempts: [attempt()], run_after: at(4_200) })).toContain("in 5 s");
    expect(say({ status: "waiting" })).toContain("a person");
    expect(say({ status: "cancelling" })).toContain("confirm");
  });
  it("names the stage by the server's label", () => {
    expect(say({ status: "running", current_stage: "llm_query" })).toBe("RAG Indexing");
    expect(say({ status: "running", current_stage: null })).toBe("Getting ready");
    expect(
      say({
        status: "running",
        current_stage: "llm_query",
        attempts: [attempt({ number: 2 })],
        max_attempts: 3,
      }),
    ).toBe("RAG Indexing, attempt 2 of at most 3");
  });
  it("says how it ended", () => {
    expect(
      say({ status: "failed", error: { code: "x", message: "The key is wrong.", retryable: false } }),
    ).toBe("The key is wrong.");
    const how = (value: "never began" | "forced after grace") =>
      say({ status: "cancelled", cancellation: { how: value } as NodeTask["cancellation"] });
    expect(how("never began")).toContain("before a worker");
    expect(how("forced after grace")).toContain("may have gone on");
    expect(say({ status: "succeeded" })).toBe("It succeeded.");
  });
});

it("says why something cannot be done", () => {
  expect(whyNotCancel(quick({ status: "running" }))).toBeNull();
  expect(whyNotCancel(quick({ status: "cancelling" }))).not.toBeNull();
  expect(whyNotCancel(quick({ status: "failed" }))).not.toBeNull();
  expect(whyNotRetry(quick({ status: "waiting" }))).not.toBeNull();
  expect(whyNotRetry(quick({ status: "degraded" }))).toBeNull();
});

it("names modes, also one that it does not know", () => {
  expect([modeLabel("delta_indexing"), modeLabel(null), modeLabel("new")]).toEqual([
    "Delta indexing",
    null,
    "new",
  ]);
});

it("asks for nothing that was not filled in", () => {
  const draft = { ...emptyDraft, model: "3", prompt: "Say it" };
  expect(requestOf(draft)).toEqual({ prompt: "Say it", model_id: 3 });
  expect(
    requestOf({ ...draft, system: "Short", title: " T ", temperature: 0, maxTokens: 10, timeout: 20 }),
  ).toEqual({
    prompt: "Say it",
    model_id: 3,
    system: "Short",
    title: "T",
    params: { temperature: 0, max_tokens: 10 },
    timeout_seconds: 20,
  });
  expect(obstacle(draft)).toBeNull();
  expect(obstacle({ ...draft, prompt: "  " })).not.toBeNull();
  expect(obstacle({ ...draft, model: null })).not.toBeNull();
});
