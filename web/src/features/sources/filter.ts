// What the address of the list of sources may hold. It is read with the first paint, so it imports nothing.

import type { Source, SourceKind } from "../../api/aliases";

export const sourceKinds: SourceKind[] = ["local", "git", "google_drive"];
export const sourceStatuses: Source["status"][] = [
  "not_indexed",
  "queued",
  "indexing",
  "waiting",
  "indexed",
  "error",
];

export interface SourceFilter {
  q?: string;
  kind?: SourceKind;
  status?: Source["status"];
}
