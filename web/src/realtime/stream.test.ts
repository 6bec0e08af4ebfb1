import { describe, expect, it } from "vitest";
import { isEnvelope, StreamBook } from "./stream";

const event = (stream: string, sequence: number) => ({
  sequence_stream: stream,
  sequence,
  idempotency_key: `${stream}/${sequence}`,
});

describe("StreamBook", () => {
  it("delivers in order and drops what is known", () => {
    const book = new StreamBook();
    book.join("flowchart_run:7", 2);
    expect(book.accept(event("flowchart_run:7", 2))).toBe("duplicate");
    expect(book.accept(event("flowchart_run:7", 3))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 3))).toBe("duplicate");
    expect(book.accept(event("flowchart_run:7", 4))).toBe("deliver");
  });

  it("reports a gap in a whole-stream room once", () => {
    const book = new StreamBook();
    book.join("flowchart_run:7", 1);
    expect(book.accept(event("flowchart_run:7", 4))).toBe("gap");
    expect(book.accept(event("flowchart_run:7", 5))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 3))).toBe("duplicate");
  });

  it("expects no continuous numbers where only a selection arrives", () => {
    const book = new StreamBook();
    book.join("studio");
    expect(book.accept(event("flowchart_run:7", 1))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 9))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 8))).toBe("duplicate");
  });

  it("takes the events that a later join replays although a selection was ahead of them", () => {
    const book = new StreamBook();
    book.join("studio");
    expect(book.accept(event("flowchart_run:7", 9))).toBe("deliver");
    book.join("flowchart_run:7", 7);
    expect(book.accept(event("flowchart_run:7", 8))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 9))).toBe("deliver");
    expect(book.accept(event("flowchart_run:7", 9))).toBe("duplicate");
    expect(book.accept(event("flowchart_run:7", 10))).toBe("deliver");
  });

  it("never goes back when a snapshot is older than what was seen", () => {
    const book = new StreamBook();
    book.join("thread:1", 5);
    book.advance("thread:1", 3);
    expect(book.seen("thread:1")).toBe(5);
    book.advance("thread:1", 9);
    expect(book.accept(event("thread:1", 10))).toBe("deliver");
  });

  it("keeps streams apart", () => {
    const book = new StreamBook();
    expect(book.accept(event("a:1", 5))).toBe("deliver");
    expect(book.accept(event("b:1", 1))).toBe("deliver");
    expect(book.accept(event("a:1", 5))).toBe("duplicate");
  });
});

describe("isEnvelope", () => {
  it("refuses other contract versions and shapes", () => {
    const good = { contract_version: "v1", event_type: "a:b:c", payload: {}, ...event("a:1", 1) };
    expect(isEnvelope(good)).toBe(true);
    expect(isEnvelope({ ...good, contract_version: "v2" })).toBe(false);
    expect(isEnvelope({ ...good, payload: null })).toBe(false);
    expect(isEnvelope("v1")).toBe(false);
  });
});
