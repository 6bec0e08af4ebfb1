// How the turns of threads are doing, as a row beside the queues. Pure.

import type { ThreadsQueue } from "../../api/aliases";
import { count } from "../../ui/format";
import type { QueueLook } from "./model";

export function lookOfThreads(t: ThreadsQueue): QueueLook {
  if (t.no_consumer) return { kind: "stuck", label: "Nobody takes it", color: "var(--st-failed)" };
  if (t.consumers === 0) return { kind: "unserved", label: "No worker", color: "var(--st-muted)" };
  if (t.running > 0 || t.waiting > 0)
    return { kind: "working", label: "Working", color: "var(--st-running)" };
  return { kind: "idle", label: "Idle", color: "var(--st-succeeded)" };
}

/** What the turns that could not be worked now wait for; those of none are left out. */
export function waitsOf(t: ThreadsQueue): string[] {
  return [
    t.scheduled > 0 && `${count(t.scheduled)} for a busy provider`,
    t.behind > 0 && `${count(t.behind)} behind another`,
  ].filter((line) => line !== false);
}
