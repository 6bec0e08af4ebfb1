import { describe, expect, it } from "vitest";
import { envelope } from "../test/realtime";
import { Cursors, isEnvelope, StreamBook } from "./stream";

const run = "flowchart_run:7";
const numbers = (book: StreamBook, stream: string, sequence: number) => {
  const { deliver, missingAfter } = book.accept(envelope(stream, sequence));
  return [deliver.map((e) => e.sequence), missingAfter];
};

describe("StreamBook", () => {
  it("delivers in order and drops what is known", () => {
    const book = new StreamBook();
    book.join(run, 2);
    expect(numbers(book, run, 2)).toEqual([[], undefined]);
    expect(numbers(book, run, 3)).toEqual([[3], undefined]);
    expect(numbers(book, run, 3)).toEqual([[], undefined]);
    expect(numbers(book, run, 4)).toEqual([[4], undefined]);
  });

  it("holds what comes after a gap in a whole-stream room until the gap is filled", () => {
    const book = new StreamBook();
    book.join(run, 1);
    expect(numbers(book, run, 4)).toEqual([[], 1]);
    expect(numbers(book, run, 5)).toEqual([[], undefined]);
    expect(numbers(book, run, 2)).toEqual([[2], undefined]);
    expect(book.waiting(run)).toBe(true);
    expect(numbers(book, run, 3)).toEqual([[3, 4, 5], undefined]);
    expect(book.waiting(run)).toBe(false);
    expect(numbers(book, run, 6)).toEqual([[6], undefined]);
  });

  it("tells of the next gap as well", () => {
    const book = new StreamBook();
    book.join(run, 1);
    numbers(book, run, 3);
    numbers(book, run, 2);
    expect(numbers(book, run, 9)).toEqual([[], 3]);
  });

  it("gives what waited when the gap is given up, and goes on from there", () => {
    const book = new StreamBook();
    book.join(run, 1);
    numbers(book, run, 5);
    numbers(book, run, 4);
    expect(book.giveUp(run).map((e) => e.sequence)).toEqual([4, 5]);
    expect(numbers(book, run, 6)).toEqual([[6], undefined]);
  });

  it("takes any number next after a gap that held nothing was given up", () => {
    const book = new StreamBook();
    book.join(run, 1);
    expect(book.giveUp(run)).toEqual([]);
    expect(numbers(book, run, 9)).toEqual([[9], undefined]);
  });

  it("closes a gap with a snapshot that contains it", () => {
    const book = new StreamBook();
    book.join(run, 1);
    numbers(book, run, 4);
    numbers(book, run, 6);
    expect(book.advance(run, 3).map((e) => e.sequence)).toEqual([4]);
    expect(book.advance(run, 9)).toEqual([]);
    expect(book.waiting(run)).toBe(false);
    expect(numbers(book, run, 10)).toEqual([[10], undefined]);
  });

  it("holds a bounded number of events", () => {
    const book = new StreamBook();
    book.join(run, 1);
    let given: number[] = [];
    for (let i = 3; i < 2_010 && given.length === 0; i++) given = numbers(book, run, i)[0] as number[];
    expect(given.length).toBe(2_001);
    expect(book.waiting(run)).toBe(false);
  });

  it("expects no continuous numbers where only a selection arrives", () => {
    const book = new StreamBook();
    book.join("studio");
    expect(numbers(book, run, 1)).toEqual([[1], undefined]);
    expect(numbers(book, run, 9)).toEqual([[9], undefined]);
    expect(numbers(book, run, 8)).toEqual([[], undefined]);
  });

  it("takes the events that a later join replays although a selection was ahead of them", () => {
    const book = new StreamBook();
    book.join("studio");
    expect(numbers(book, run, 9)[0]).toEqual([9]);
    book.join(run, 7);
    expect(numbers(book, run, 8)[0]).toEqual([8]);
    expect(numbers(book, run, 9)[0]).toEqual([9]);
    expect(numbers(book, run, 9)[0]).toEqual([]);
  });

  it("never goes back when a snapshot is older than what was seen", () => {
    const book = new StreamBook();
    book.join("thread:1", 5);
    book.advance("thread:1", 3);
    expect(book.seen("thread:1")).toBe(5);
  });

  it("keeps streams apart, and forgets a room that is left", () => {
    const book = new StreamBook();
    book.join(run, 4);
    expect(numbers(book, "a:1", 5)[0]).toEqual([5]);
    expect(numbers(book, run, 5)[0]).toEqual([5]);
    book.leave(run);
    expect(numbers(book, run, 3)[0]).toEqual([3]);
  });
});

describe("Cursors", () => {
  it("forgets what was quiet longest, but for what is kept", () => {
    const cursors = new Cursors(2);
    cursors.set("a", 1);
    cursors.set("b", 1);
    cursors.set("a", 2);
    cursors.set("c", 1, (stream) => stream === "b");
    expect([cursors.get("a"), cursors.get("b"), cursors.get("c")]).toEqual([undefined, 1, 1]);
  });
});

describe("isEnvelope", () => {
  it("refuses other contract versions and shapes", () => {
    const good = envelope("a:1", 1);
    expect(isEnvelope(good)).toBe(true);
    expect(isEnvelope({ ...good, contract_version: "v2" })).toBe(false);
    expect(isEnvelope({ ...good, payload: null })).toBe(false);
    expect(isEnvelope({ ...good, room_keys: undefined })).toBe(false);
    expect(isEnvelope("v1")).toBe(false);
  });
});
