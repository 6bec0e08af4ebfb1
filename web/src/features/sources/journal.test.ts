import { describe, expect, it } from "vitest";
import type { IndexFile, Page } from "../../api/aliases";
import { indexFile } from "../../test/sources";
import { filesOf, nextJournal } from "./journal";

const size = 2;

/** A server with a journal of files; it counts what is read of it. */
function served(files: IndexFile[]) {
  const reads: string[] = [];
  const read = async (cursor: string): Promise<Page<IndexFile>> => {
    reads.push(cursor);
    const from = Number(cursor || 0);
    const next = from + size;
    return {
      items: files.slice(from, next).map((f) => ({ ...f })),
      next_cursor: next < files.length ? String(next) : null,
    };
  };
  return { reads, read, files };
}

const all = (n: number, done = 0) =>
  Array.from({ length: n }, (_, i) => indexFile(`f${i}`, { status: i < done ? "done" : "pending" }));

const finish = (files: IndexFile[], ...which: number[]) => {
  for (const i of which) {
    const file = files[i];
    if (file) file.status = "done";
  }
};

describe("the journal", () => {
  it("is read whole at first", async () => {
    const s = served(all(5));
    const journal = await nextJournal(undefined, s.read);
    expect(filesOf(journal).map((f) => f.path)).toEqual(["f0", "f1", "f2", "f3", "f4"]);
    expect(s.reads).toEqual(["", "2", "4"]);
  });

  it("reads again neither what is final nor what lies far behind the place of the work", async () => {
    const s = served(all(12, 4));
    const before = await nextJournal(undefined, s.read);
    s.reads.length = 0;
    finish(s.files, 4);
    const after = await nextJournal(before, s.read);
    expect(filesOf(after)[4]?.status).toBe("done");
    expect(s.reads).toEqual(["4", "6", "8", "10"]); // the last page always: it may grow
    expect(filesOf(after)).toHaveLength(12);
  });

  it("reads everything that is open once the run has ended, wherever it lies", async () => {
    const s = served(all(12));
    const before = await nextJournal(undefined, s.read);
    finish(s.files, 9);
    expect(filesOf(await nextJournal(before, s.read))[9]?.status).toBe("pending");
    expect(filesOf(await nextJournal(before, s.read, true))[9]?.status).toBe("done");
  });

  it("follows a journal that became longer", async () => {
    const s = served(all(3));
    const before = await nextJournal(undefined, s.read);
    s.files.push(indexFile("f3"), indexFile("f4"));
    expect(filesOf(await nextJournal(before, s.read))).toHaveLength(5);
  });
});
