// What is asked in the playground and how its answer is laid out. Pure.

import type { Passage, RetrievalMode, RetrievalQuery, Retrieved } from "../../api/aliases";
import { type Asked, defaultTopK } from "./asked";

export const modes: { value: RetrievalMode; label: string; text: string }[] = [
  { value: "hybrid", label: "Both", text: "Words and meaning, joined by their ranks" },
  { value: "lexical", label: "Words", text: "Full text and similar spellings" },
  { value: "vector", label: "Meaning", text: "Vectors of the embedding model" },
];

/** Everything that can be chosen, chosen or not. */
export type AskForm = {
  q: string;
  sources: number[];
  mode: RetrievalMode;
  k: number;
  rerank: boolean;
  answer: boolean;
} & Record<"paths" | "languages" | "kinds" | "after" | "before", string>;

export const formOf = (asked: Asked): AskForm => ({
  q: asked.q ?? "",
  sources: asked.sources ?? [],
  mode: asked.mode ?? "hybrid",
  k: asked.k ?? defaultTopK,
  rerank: asked.rerank ?? false,
  answer: asked.answer ?? false,
  paths: asked.paths ?? "",
  languages: asked.languages ?? "",
  kinds: asked.kinds ?? "",
  after: asked.after ?? "",
  before: asked.before ?? "",
});

export const wordsOf = (list: string | undefined): string[] =>
  (list ?? "")
    .split(/[,\n]/)
    .map((w) => w.trim())
    .filter(Boolean);

/** What was searched instead of words that the sources do not have. */
export const correctionOf = ({ word, searched }: Retrieved["stats"]["corrections"][number]): string =>
  `Searched for ${searched.map((s) => `“${s}”`).join(" or ")} instead of “${word}”, which no passage has.`;

/** What the question used of models; "" where that is nothing. */
export function usageOf({ calls, cost_micros, currency }: Retrieved["stats"]["usage"]): string {
  const tokens = calls.reduce((sum, c) => sum + c.input_tokens + c.output_tokens, 0);
  if (tokens === 0) return "";
  const price = cost_micros === null ? "" : `, ${(cost_micros / 1e6).toPrecision(2)} ${currency}`;
  return `${tokens.toLocaleString("en-US")} tokens${price}`;
}

export function queryOf(asked: Asked): RetrievalQuery {
  const filters: NonNullable<RetrievalQuery["filters"]> = {};
  for (const name of ["paths", "languages", "kinds"] as const) {
    const list = wordsOf(asked[name]);
    if (list.length > 0) filters[name] = list;
  }
  if (asked.after) filters.modified_after = `${asked.after}T00:00:00Z`;
  if (asked.before) filters.modified_before = `${asked.before}T00:00:00Z`;
  return {
    question: asked.q ?? "",
    top_k: asked.k ?? defaultTopK,
    mode: asked.mode ?? "hybrid",
    explain: true,
    ...(asked.sources && { source_ids: asked.sources }),
    ...(asked.rerank && { rerank: true }),
    ...(asked.answer && { synthesize: true }),
    ...(Object.keys(filters).length > 0 && { filters }),
  };
}

export interface Column {
  key: "lexical" | "result" | "vector";
  label: string;
  items: Passage[];
  /** The score that its bars show, and the highest of it. */
  score: (p: Passage) => number | null;
  most: number;
}

const highest = (items: Passage[], score: (p: Passage) => number | null): number =>
  Math.max(0, ...items.map((p) => score(p) ?? 0));

/** The lists beside each other: by words, together, by meaning; those that there are. */
export function columnsOf(r: Retrieved): Column[] {
  const column = (key: Column["key"], label: string, items: Passage[], score: Column["score"]): Column => ({
    key,
    label,
    items,
    score,
    most: highest(items, score),
  });
  const reranked = r.results.some((p) => p.ranks.rerank !== null);
  const middle = column("result", reranked ? "Reranked" : "Together", r.results, (p) => p.score);
  const lexical = column("lexical", "By words", r.lists?.lexical ?? [], (p) => p.scores.lexical);
  const vector = column("vector", "By meaning", r.lists?.vector ?? [], (p) => p.scores.vector);
  // One list alone is the result: beside itself it would say nothing.
  const [only, ...others] = [lexical, vector].filter((c) => c.items.length > 0);
  if (only && others.length === 0 && !reranked) return [{ ...only, key: "result", items: r.results }];
  return [
    ...(lexical.items.length > 0 ? [lexical] : []),
    middle,
    ...(vector.items.length > 0 ? [vector] : []),
  ];
}

export interface Line {
  chunk: number;
  /** Places in the column on the left and in the one on the right. */
  from: number;
  to: number;
}

/** Which places of two lists are the same chunk. */
export function linesOf(left: Passage[], right: Passage[]): Line[] {
  const places = new Map(right.map((p, i) => [p.chunk_id, i]));
  return left.flatMap((p, from) => {
    const to = places.get(p.chunk_id);
    return to === undefined ? [] : [{ chunk: p.chunk_id, from, to }];
  });
}

export interface Piece {
  text: string;
  hit: boolean;
}

/** A snippet in pieces, those that were looked for marked. Offsets count characters, not the halves of one. */
export function piecesOf(snippet: string, highlights: readonly (readonly number[])[]): Piece[] {
  const letters = Array.from(snippet);
  const pieces: Piece[] = [];
  let at = 0;
  const sorted = [...highlights].sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
  for (const [start = 0, end = 0] of sorted) {
    const from = Math.max(at, Math.min(start, letters.length));
    const to = Math.min(end, letters.length);
    if (to <= from) continue;
    if (from > at) pieces.push({ text: letters.slice(at, from).join(""), hit: false });
    pieces.push({ text: letters.slice(from, to).join(""), hit: true });
    at = to;
  }
  if (at < letters.length) pieces.push({ text: letters.slice(at).join(""), hit: false });
  return pieces;
}

export interface Timing {
  key: string;
  label: string;
  ms: number;
}

/** Where the time went, in order. */
export function timingsOf(s: Retrieved["stats"]): Timing[] {
  const parts: Timing[] = [
    { key: "lexical", label: "Words", ms: s.lexical_ms },
    { key: "embed", label: "Embed", ms: s.embed_ms },
    { key: "vector", label: "Meaning", ms: s.vector_ms },
    { key: "rerank", label: "Rerank", ms: s.rerank_ms },
    { key: "synthesis", label: "Answer", ms: s.synthesis_ms },
  ];
  return parts.filter((p) => p.ms > 0);
}

const rankNames = [
  ["lexical", "words"],
  ["vector", "meaning"],
  ["fused", "together"],
  ["rerank", "reranked"],
] as const;

/** A passage's place in each list, such as "words 3, meaning 1, together 1". */
export const rankWords = (p: Passage): string =>
  rankNames
    .flatMap(([name, words]) => (p.ranks[name] === null ? [] : [`${words} ${p.ranks[name]}`]))
    .join(", ");

export const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1) || path;
