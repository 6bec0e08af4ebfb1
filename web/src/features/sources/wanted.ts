// Which chunk of a file a link means: by its number, else by its key, which a chunk keeps while its text does not
// change, else by where it stands. Pure.

import type { Chunk } from "../../api/aliases";

export interface Wanted {
  id?: number | undefined;
  key?: string | undefined;
  /** A place as people read it: lines 3-9, line 3, page 2. */
  at?: string | undefined;
}

/** Lines of a place, first and last; null where it has none. */
export function linesOf(at: string | undefined): [number, number] | null {
  const found = /^lines? (\d{1,9})(?:[-–](\d{1,9}))?$/.exec(at ?? "");
  if (!found) return null;
  const from = Number(found[1]);
  return [from, Math.max(from, Number(found[2] ?? from))];
}

const pageOf = (at: string | undefined): number => Number(/^page (\d{1,9})$/.exec(at ?? "")?.[1] ?? 0);

const stands = (chunk: Chunk, at: string | undefined): boolean => {
  const { line_start, line_end, page } = chunk.position;
  const lines = linesOf(at);
  if (lines) return line_start > 0 && line_start <= lines[1] && line_end >= lines[0];
  return page > 0 && page === pageOf(at);
};

export const asksFor = ({ id, key, at }: Wanted): boolean =>
  id !== undefined || key !== undefined || at !== undefined;

/** The chunk that is meant. The place counts once all chunks are known, since another page may have the key. */
export function findWanted(chunks: readonly Chunk[], wanted: Wanted, complete: boolean): Chunk | undefined {
  const exact = chunks.find((c) => (wanted.id !== undefined ? c.id === wanted.id : c.key === wanted.key));
  const mayCome = !complete && (wanted.id !== undefined || wanted.key !== undefined);
  return exact ?? (mayCome ? undefined : chunks.find((c) => stands(c, wanted.at)));
}
