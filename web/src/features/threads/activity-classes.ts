// Apart from their words: the address of the page is read before anything is shown.

import type { ChatActivity } from "../../api/aliases";

export type ActivityClass = ChatActivity["class"];

export const activityClassNames: readonly ActivityClass[] = [
  "thread_lifecycle",
  "turn",
  "retrieval_tool_usage",
  "compaction",
  "failure",
];
