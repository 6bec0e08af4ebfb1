// What a collection is made of. Pure.

import type { Collection } from "../../api/aliases";

export interface Share {
  name: string;
  files: number;
  /** Of all its files, 0 to 1. */
  share: number;
}

const shown = 6;

/** The languages of a collection, or its kinds of files where nothing has a language; the smallest together. */
export function sharesOf(c: Collection): Share[] {
  const byLanguage = c.languages
    .filter((l) => l.language !== "")
    .map((l) => ({ name: l.language, files: l.files }));
  const all = byLanguage.length > 0 ? byLanguage : c.kinds.map((k) => ({ name: k.kind, files: k.files }));
  const total = Math.max(
    1,
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
