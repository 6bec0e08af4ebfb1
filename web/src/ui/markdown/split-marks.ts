// References in text, such as [2] and [1, 3]. Pure.

export interface MarkedPiece {
  /** Where it begins in the text. */
  at: number;
  text: string;
  /** The number that it refers to; null: it is text. */
  n: number | null;
}

const reference = /\[\s*\d{1,3}(?:\s*,\s*\d{1,3})*\s*\]/g;

/** A text in pieces, each number of a reference a piece of its own. */
export function splitMarks(text: string): MarkedPiece[] {
  const out: MarkedPiece[] = [];
  let done = 0;
  const add = (to: number) => {
    if (to > done) out.push({ at: done, text: text.slice(done, to), n: null });
  };
  for (const found of text.matchAll(reference)) {
    add(found.index);
    let at = found.index;
    for (const part of found[0].slice(1, -1).split(",")) {
      out.push({ at, text: `[${part.trim()}]`, n: Number(part) });
      at += part.length + 1;
    }
    done = found.index + found[0].length;
  }
  add(text.length);
  return out;
}

/** The numbers that a text refers to. */
export const marksIn = (text: string): Set<number> =>
  new Set(splitMarks(text).flatMap(({ n }) => (n === null ? [] : [n])));
