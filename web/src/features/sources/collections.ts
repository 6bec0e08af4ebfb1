// What a collection is made of. Pure.

import type { Collection } from "../../api/aliases";

export interface Share {
  name: string;
  files: number;
  /** Of all its files, 0 to 1. */
  share: number;
}

const shown = 6;

// Kinds whose files are counted by their language.
const withLanguage = new Set(["code", "config"]);

/** The languages of a collection, and the kinds of its files that have none; the smallest together. */
export function sharesOf(c: Collection): Share[] {
  if (c.files === 0) return [];
  const all = [
    ...c.languages.filter((l) => l.language !== "").map((l) => ({ name: l.language, files: l.files })),
    ...c.kinds.filter((k) => !withLanguage.has(k.kind)).map((k) => ({ name: k.kind, files: k.files })),
  ];
  const total = Math.max(
    c.files,
    all.reduce((sum, s) => sum + s.files, 0),
  );
  const sorted = [...all].sort((a, b) => b.files - a.files);
  const named = sorted.slice(0, shown);
  const rest = total - named.reduce((sum, s) => sum + s.files, 0);
  return [...named, ...(rest > 0 ? [{ name: "other", files: rest }] : [])].map((s) => ({
    ...s,
    share: s.files / total,
  }));
}
