// Queues and workers as the server tells of them.

import type { DeadItem, Queue, QueueList, QueueTimes, Worker, WorkerSlot } from "../api/aliases";

export const bounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800,
];

const none = () => Array.from({ length: bounds.length + 1 }, () => 0);

export const times = (more: Partial<QueueTimes> = {}): QueueTimes => ({
  counts: none(),
  count: 0,
  p50_seconds: null,
  p95_seconds: null,
  p99_seconds: null,
  ...more,
});

const minutes = () => Array.from({ length: 60 }, () => 0);

export const queue = (more: Partial<Queue> = {}): Queue => ({
  name: "llmctl_studio",
  waiting: 0,
  waiting_more: false,
  scheduled: 0,
  running: 0,
  dead: 0,
  waiting_since: null,
  waiting_seconds: null,
  paused: null,
  consumers: 1,
  draining_consumers: 0,
  slots: 4,
  free_slots: 4,
  no_consumer: false,
  notice: "",
  enqueued_per_minute: { m1: 0, m5: 0, m60: 0 },
  finished_per_minute: { m1: 0, m5: 0, m60: 0 },
  waited: times(),
  took: times(),
  history: { from: "2026-01-02T03:00:00Z", enqueued: minutes(), finished: minutes(), failed: minutes() },
  ...more,
});

export const threadsQueue = (more: Partial<QueueList["threads"]> = {}): QueueList["threads"] => ({
  waiting: 0,
  waiting_since: null,
  waiting_seconds: null,
  behind: 0,
  scheduled: 0,
  needs_approval: 0,
  running: 0,
  consumers: 1,
  no_consumer: false,
  enqueued_per_minute: { m1: 0, m5: 0, m60: 0 },
  finished_per_minute: { m1: 0, m5: 0, m60: 0 },
  waited: times(),
  took: times(),
  history: { from: "2026-01-02T03:00:00Z", enqueued: minutes(), finished: minutes(), failed: minutes() },
  ...more,
});

export const queueList = (...items: Queue[]): QueueList => ({
  at: "2026-01-02T03:59:30Z",
  bounds_seconds: bounds,
  items,
  next_cursor: null,
  slots: { total: 4, busy: 1 },
  threads: threadsQueue(),
});

export const heat = () => ({
  waited: minutes().map(none),
  took: minutes().map(none),
});

export const slot = (more: Partial<WorkerSlot> = {}): WorkerSlot => ({
  kind: "node_run",
  id: 55,
  attempt: 1,
  queue: "llmctl_studio",
  flowchart_run_id: 7,
  flowchart_id: 3,
  flowchart_name: "Support",
  node_kind: "script",
  title: "Wrap up",
  status: "running",
  stage: "init",
  executor: "process",
  since: new Date().toISOString(),
  ...more,
});

export const worker = (more: Partial<Worker> = {}): Worker => ({
  id: "0190f0c0-0000-7000-8000-000000000001",
  hostname: "box",
  pid: 42,
  version: "v1",
  state: "ready",
  slots: 4,
  busy: 0,
  running: [],
  queues: ["llmctl_studio"],
  beat_at: new Date().toISOString(),
  beat_age_seconds: 1,
  started_at: new Date().toISOString(),
  ended_at: null,
  draining_since: null,
  draining_by: "",
  rss_bytes: 52_428_800,
  cpu_cores: 0.5,
  goroutines: 120,
  ...more,
});

export const dead = (more: Partial<DeadItem> = {}): DeadItem => ({
  id: "node_run-55",
  kind: "node_run",
  code: "exit",
  message: "The script ended with code 3.",
  attempts: 2,
  failures: 2,
  lost: 0,
  ended_at: new Date().toISOString(),
  target: {
    kind: "node_run",
    id: 55,
    flowchart_run_id: 7,
    flowchart_id: 3,
    flowchart_name: "Support",
    node_kind: "script",
    title: "Wrap up",
    status: "failed",
  },
  retried_by: null,
  retried_by_node_run: null,
  ...more,
});
