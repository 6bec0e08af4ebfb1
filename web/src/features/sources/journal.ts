// The files of an index run, held page by page. A plan does not change once it is made, so a page keeps its files and
// only how far they are changes. Pure but for what reads a page.

import type { IndexFile, Page } from "../../api/aliases";

export interface Journal {
  pages: { cursor: string; items: IndexFile[]; next: string | null }[];
}

/** Above it the rest is counted, not shown: a browser holds no more with ease. */
export const maxJournal = 60_000;

export const filesOf = (journal: Journal | undefined): IndexFile[] =>
  journal?.pages.flatMap((page) => page.items) ?? [];

const final = (items: IndexFile[]): boolean => items.every((f) => f.status !== "pending");

// A run goes through its files in their order, some at a time. This many pages without news after one with some, and
// nothing behind them has begun either.
const quietPages = 2;

const same = (a: IndexFile[], b: IndexFile[]): boolean =>
  a.length === b.length && a.every((f, i) => f.status === b[i]?.status && f.tries === b[i]?.tries);

/** The journal as it is now: what is final stays, what is open is read again; thorough: wherever it is. */
export async function nextJournal(
  known: Journal | undefined,
  read: (cursor: string) => Promise<Page<IndexFile>>,
  thorough = false,
): Promise<Journal> {
  const pages: Journal["pages"] = [];
  let cursor: string | null = "";
  let quiet = 0;
  let total = 0;
  for (let i = 0; cursor !== null && total < maxJournal; i++) {
    const before: Journal["pages"][number] | undefined = known?.pages[i];
    const complete = before !== undefined && before.cursor === cursor && before.next !== null;
    if (complete && (final(before.items) || (!thorough && quiet >= quietPages))) {
      pages.push(before);
      cursor = before.next;
      total += before.items.length;
      continue;
    }
    const page: Page<IndexFile> = await read(cursor);
    quiet = complete && same(before.items, page.items) ? quiet + 1 : 0;
    pages.push({ cursor, items: page.items, next: page.next_cursor });
    total += page.items.length;
    cursor = page.next_cursor;
  }
  return { pages };
}
