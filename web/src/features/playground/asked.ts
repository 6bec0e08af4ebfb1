// What is asked in the playground, as the address holds it. Pure.

import type { RetrievalMode } from "../../api/aliases";

export const retrievalModes: RetrievalMode[] = ["hybrid", "lexical", "vector"];
export const defaultTopK = 10;
export const maxTopK = 50;

/** The state of the page, as the address holds it; what is usual is left out. */
export interface Asked {
  q?: string;
  sources?: number[];
  mode?: RetrievalMode;
  k?: number;
  rerank?: true;
  answer?: true;
  paths?: string;
  languages?: string;
  kinds?: string;
  after?: string;
  before?: string;
}

const text = (value: unknown, most: number): string =>
  typeof value === "string" ? value.slice(0, most) : "";
const day = (value: unknown): string => {
  const s = text(value, 10);
  return /^\d{4}-\d{2}-\d{2}$/.test(s) ? s : "";
};

export function askedOf(search: Record<string, unknown>): Asked {
  const ids = (Array.isArray(search.sources) ? search.sources : [search.sources])
    .map(Number)
    .filter((n) => Number.isInteger(n) && n > 0);
  const k = Number(search.k);
  const out: Asked = {};
  // A question such as 404 comes out of the address as a number.
  const q = text(typeof search.q === "number" ? String(search.q) : search.q, 4_000);
  if (q) out.q = q;
  if (ids.length > 0) out.sources = ids.slice(0, 100);
  const mode = retrievalModes.find((m) => m === search.mode);
  if (mode && mode !== "hybrid") out.mode = mode;
  if (Number.isInteger(k) && k >= 1 && k <= maxTopK && k !== defaultTopK) out.k = k;
  if (search.rerank === true) out.rerank = true;
  if (search.answer === true) out.answer = true;
  for (const name of ["paths", "languages", "kinds"] as const) {
    const value = text(search[name], 1_000);
    if (value) out[name] = value;
  }
  for (const name of ["after", "before"] as const) {
    const value = day(search[name]);
    if (value) out[name] = value;
  }
  return out;
}
