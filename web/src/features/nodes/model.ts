// What a quick node looks like and what may be done with it. Pure.

import type { Attempt, NodeTask, QuickNode, Stage } from "../../api/aliases";
import type { Reason } from "../runs/control";
import { isFinalNode } from "../runs/model";

const modes: Record<string, string> = {
  query: "Query",
  indexing: "Indexing",
  delta_indexing: "Delta indexing",
};

/** What a node of retrieval does; null for others. */
export const modeLabel = (mode: string | null): string | null =>
  mode === null ? null : (modes[mode] ?? mode);

export function whyNotCancel(task: NodeTask): Reason {
  if (isFinalNode(task.status)) return "It has ended.";
  return task.status === "cancelling" ? "It waits for its worker to confirm." : null;
}

export const whyNotRetry = (task: NodeTask): Reason =>
  isFinalNode(task.status) ? null : "It goes on. Cancel it, or wait for its end.";

function cancelled(task: NodeTask): string {
  switch (task.cancellation?.how) {
    case "never began":
      return "It was cancelled before a worker took it.";
    case "forced after grace":
      return "It was cancelled; its worker did not confirm in time, and what it had started may have gone on.";
    case "worker died":
      return "It was cancelled, and its worker died.";
    default:
      return "It was cancelled.";
  }
}

const nth = (a: Attempt | undefined, of: number): string =>
  a && of > 1 ? `, attempt ${a.number} of at most ${of}` : "";

/** One line: what is happening to the node now. */
export function headline(task: NodeTask, stages: Stage[], now: number): string {
  const last = task.attempts.at(-1);
  const due = Date.parse(task.run_after);
  switch (task.status) {
    case "queued":
      if (last && due > now) return `It failed and is tried again in ${Math.ceil((due - now) / 1000)} s.`;
      return `It waits for a worker of ${task.queue}.`;
    case "running": {
      const stage = stages.find((s) => s.key === task.current_stage);
      return `${stage ? stage.label : "Getting ready"}${nth(last, task.max_attempts)}`;
    }
    case "waiting":
      return "It waits for a person to decide.";
    case "cancelling":
      return "It waits for its worker to confirm that it has stopped.";
    case "failed":
      return task.error?.message ?? "It failed.";
    case "cancelled":
      return cancelled(task);
    case "degraded":
      return "It succeeded in part.";
    default:
      return "It succeeded.";
  }
}

export interface QuickDraft {
  model: string | null;
  prompt: string;
  system: string;
  title: string;
  temperature: string | number;
  maxTokens: string | number;
  timeout: string | number;
}

export const emptyDraft: QuickDraft = {
  model: null,
  prompt: "",
  system: "",
  title: "",
  temperature: "",
  maxTokens: "",
  timeout: "",
};

/** What keeps a draft from being run; null: nothing. */
export function obstacle(draft: QuickDraft): string | null {
  if (draft.model === null) return "Choose a model.";
  return draft.prompt.trim() === "" ? "Say what the model is to do." : null;
}

/** The request of a draft that nothing keeps from being run. */
export function requestOf(draft: QuickDraft): QuickNode {
  const params = {
    ...(draft.temperature !== "" && { temperature: Number(draft.temperature) }),
    ...(draft.maxTokens !== "" && { max_tokens: Number(draft.maxTokens) }),
  };
  return {
    prompt: draft.prompt,
    model_id: Number(draft.model),
    ...(draft.system.trim() && { system: draft.system }),
    ...(draft.title.trim() && { title: draft.title.trim() }),
    ...(Object.keys(params).length > 0 && { params }),
    ...(draft.timeout !== "" && { timeout_seconds: Number(draft.timeout) }),
  };
}
