// What may be done with a run and its nodes, and why not. Pure.

import type { FlowchartRun, NodeRun } from "../../api/aliases";
import { isFinalRun } from "./final";
import { isFinalNode, isHeld } from "./model";

/** Why something cannot be done now; null: it can. */
export type Reason = string | null;

export function whyNotPause(run: FlowchartRun): Reason {
  if (isFinalRun(run.status)) return "The run has ended.";
  if (run.status === "cancelling") return "The run is being cancelled.";
  return isHeld(run.status) ? "The run is held already." : null;
}

export function whyNotResume(run: FlowchartRun): Reason {
  if (isFinalRun(run.status)) return "The run has ended.";
  return isHeld(run.status) ? null : "The run is not paused.";
}

export function whyNotCancel(run: FlowchartRun): Reason {
  if (isFinalRun(run.status)) return "The run has ended.";
  return run.status === "cancelling" ? "It waits for what still runs to confirm." : null;
}

export const whyNotRetry = (run: FlowchartRun): Reason =>
  isFinalRun(run.status) ? null : "The run goes on. Cancel it, or wait for its end.";

export function whyNotRetryFrom(run: FlowchartRun, node: NodeRun | undefined): Reason {
  if (!node) return "The node did not run.";
  if (node.status === "skipped") return "The node was skipped. Retry from the node that led past it.";
  return whyNotRetry(run);
}

export function whyNotCancelNode(run: FlowchartRun, node: NodeRun | undefined): Reason {
  if (!node || isFinalNode(node.status)) return "The node does not run.";
  if (node.status === "cancelling" || run.status === "cancelling") return "It is being cancelled.";
  return null;
}
