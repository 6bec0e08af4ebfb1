import type { Attempt, NodeTask, Pod } from "../api/aliases";
import { at, nodeRun } from "./graphs";

export const attempt = (more: Partial<Attempt> = {}): Attempt => ({
  number: 1,
  status: "succeeded",
  executor: "inline",
  worker_id: "w",
  worker: {
    id: "w",
    hostname: "alpha",
    pid: 42,
    version: "1.2",
    started_at: at(0),
    stopped_at: null,
    declared_dead_at: null,
  },
  ended: null,
  cancel_requested_at: null,
  deadline_at: at(9_000),
  queued_at: at(0),
  claimed_at: at(0),
  started_at: at(0),
  first_token_at: null,
  finished_at: null,
  error: null,
  usage: null,
  stages: [],
  pod: null,
  ...more,
});

export const pod = (more: Partial<Pod> = {}): Pod => ({
  dispatch_id: "kubernetes:llmctl/llmctl-exec-11-1-ab12",
  dispatch_status: "dispatch_confirmed",
  dispatch_uncertain: false,
  note: null,
  uid: "7c1d-uid",
  dispatched_at: at(0),
  submitted_at: at(10),
  confirmed_at: at(20),
  ...more,
});

export const task = (more: Partial<NodeTask> = {}): NodeTask => ({
  ...nodeRun(),
  flowchart_id: 7,
  flowchart_run_id: 5,
  execution_mode: null,
  queue: "llmctl_studio",
  retry_of: null,
  attempts: [],
  input_context: null,
  routing_state: null,
  runtime: {} as NodeTask["runtime"],
  failures: 0,
  max_attempts: 1,
  lost: 0,
  max_lost: 3,
  run_after: at(0),
  reused_from_run_id: null,
  cancellation: null,
  ...more,
});
