// What is needed before any page of nodes is opened, which is why it is apart.

import type { NodeStatus } from "../../api/aliases";

/** Of lists; what belongs to one node run has its keys with the runs. */
export const nodeKeys = {
  lists: ["nodes", "list"] as const,
};

/** The states that a quick node can be in. */
export const statuses: NodeStatus[] = [
  "queued",
  "running",
  "waiting",
  "cancelling",
  "succeeded",
  "degraded",
  "failed",
  "cancelled",
];
