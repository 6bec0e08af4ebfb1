// Sources as choices of a list. Pure.

import type { Source } from "../../api/aliases";

export interface Choice {
  value: string;
  label: string;
  disabled: boolean;
}

/** Those that can be chosen, and those that are, whatever became of them. */
export function choicesOf(
  sources: readonly Pick<Source, "id" | "name" | "index">[],
  chosen: readonly number[],
  loaded: boolean,
  indexedOnly: boolean,
): Choice[] {
  const choices = sources.map((s) => ({
    value: String(s.id),
    label: s.index === null ? `${s.name} (not indexed)` : s.name,
    disabled: indexedOnly && s.index === null && !chosen.includes(s.id),
  }));
  const known = new Set(sources.map((s) => s.id));
  const gone = chosen
    .filter((id) => !known.has(id))
    .map((id) => ({
      value: String(id),
      label: loaded ? `Source ${id} (deleted)` : `Source ${id}`,
      disabled: false,
    }));
  return [...choices, ...gone];
}
