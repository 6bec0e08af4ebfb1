// What became of an attempt, in sentences. Pure.

import type { Attempt, NodeTask } from "../../api/aliases";

export const clock = (at: string): string => new Date(at).toLocaleTimeString(undefined, { hour12: false });

export const holder = (a: Attempt): string =>
  `${a.worker.hostname}, process ${a.worker.pid}, version ${a.worker.version}`;

/** Why an attempt ended, with the end of its worker where that was the reason. */
export function endOf(a: Attempt): string {
  switch (a.ended) {
    case null:
      return a.cancel_requested_at
        ? `It was asked to stop at ${clock(a.cancel_requested_at)} and has not confirmed.`
        : "It runs.";
    case "succeeded":
      return "It succeeded.";
    case "degraded":
      return "It succeeded in part.";
    case "failed":
      return "It failed by itself.";
    case "timed_out":
      return "It took longer than its time-out.";
    case "cancelled":
      return a.cancel_requested_at
        ? `It was asked to stop at ${clock(a.cancel_requested_at)} and did.`
        : "It was stopped.";
    case "forced_after_grace":
      return "It was asked to stop and its worker did not confirm in time; what it had started may have gone on.";
    case "handed_over":
      return "Its worker stopped on purpose and handed it over.";
    case "worker_died":
      if (a.worker.declared_dead_at)
        return `Its worker gave no sign of life and was declared dead at ${clock(a.worker.declared_dead_at)}.`;
      return a.worker.stopped_at
        ? `Its worker ended at ${clock(a.worker.stopped_at)} without handing it over.`
        : "Its worker died.";
  }
}

/** How often a node run was lost and failed, where it was. */
export function countsOf(task: NodeTask): string[] {
  const lines: string[] = [];
  if (task.lost > 0)
    lines.push(
      `Lost with its worker ${task.lost} of at most ${task.max_lost} times${
        task.lost >= task.max_lost ? "; it is not tried again." : "."
      }`,
    );
  if (task.failures > 0)
    lines.push(`Failed by itself in ${task.failures} of at most ${task.max_attempts} tries.`);
  if (Date.parse(task.run_after) > Date.now() && (task.status === "queued" || task.status === "pending"))
    lines.push(`The next try begins at ${clock(task.run_after)} at the earliest.`);
  return lines;
}
