// What the address of the list of searches may hold. It is read with the first paint, so it imports nothing.

import type { RetrievalOrigin } from "../../api/aliases";

export const origins: RetrievalOrigin[] = ["api", "thread", "node", "mcp"];

export interface SearchFilter {
  origin?: RetrievalOrigin;
  source?: number;
  user?: number;
  /** Days, the first and the last. */
  from?: string;
  to?: string;
}

const number = (value: unknown): number => {
  const n = Number(value);
  return Number.isInteger(n) && n > 0 ? n : 0;
};
const day = (value: unknown): string =>
  typeof value === "string" && /^\d{4}-\d{2}-\d{2}$/.test(value) && !Number.isNaN(Date.parse(value))
    ? value
    : "";

export function filterOf(search: Record<string, unknown>): SearchFilter {
  const origin = origins.find((o) => o === search.origin);
  const source = number(search.source);
  const user = number(search.user);
  const from = day(search.from);
  const to = day(search.to);
  return {
    ...(origin && { origin }),
    ...(source > 0 && { source }),
    ...(user > 0 && { user }),
    ...(from && { from }),
    ...(to && { to }),
  };
}
