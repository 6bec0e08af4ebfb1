// When a run has ended. The overview asks, so it is there with the first paint: it imports nothing.

import type { RunStatus } from "../../api/aliases";

const finalRun: ReadonlySet<RunStatus> = new Set<RunStatus>(["succeeded", "failed", "cancelled"]);

export const isFinalRun = (status: RunStatus): boolean => finalRun.has(status);
