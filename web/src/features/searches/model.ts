// Searches that were made, as they are shown. Pure.

import type { FoundPassage, Retrieval, RetrievalOrigin } from "../../api/aliases";
import { count } from "../../ui/format";
import type { SearchFilter } from "./filter";

export const originLabels: Record<RetrievalOrigin, string> = {
  api: "Page or API",
  thread: "Thread",
  node: "Node",
  mcp: "MCP client",
};

export interface Period {
  since?: string;
  until?: string;
}

/** The days of a filter as times, in the time zone of who looks: the last day counts whole. */
export function periodOf({ from, to }: Pick<SearchFilter, "from" | "to">): Period {
  const begin = from ? new Date(`${from}T00:00:00`) : null;
  const end = to ? new Date(`${to}T00:00:00`) : null;
  end?.setDate(end.getDate() + 1);
  return { ...(begin && { since: begin.toISOString() }), ...(end && { until: end.toISOString() }) };
}

/** Why a period has no searches at all; null: it may have some. */
export const periodFault = ({ from, to }: Pick<SearchFilter, "from" | "to">): string | null =>
  from && to && from > to ? "The last day is before the first one." : null;

/** What a search found, in a few words. */
export function foundWords(results: readonly FoundPassage[]): string {
  if (results.length === 0) return "Nothing";
  const cited = results.filter((r) => r.cited).length;
  const words = results.length === 1 ? "1 passage" : `${count(results.length)} passages`;
  return cited > 0 ? `${words}, ${count(cited)} cited` : words;
}

/** Whether an answer in words was asked for along with the passages. */
export const answered = (r: Pick<Retrieval, "stats">): boolean => r.stats.synthesis_ms > 0;

/** The sources that were asked, by name where it is known. */
export function sourceWords(ids: readonly number[], names: ReadonlyMap<number, string>, most = 3): string {
  const named = ids.map((id) => names.get(id) ?? `Source ${id}`);
  const rest = named.length - most;
  return rest > 0 ? `${named.slice(0, most).join(", ")} and ${count(rest)} more` : named.join(", ");
}
