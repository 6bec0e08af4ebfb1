import { describe, expect, it } from "vitest";
import type { Envelope, Message } from "../../api/aliases";
import { envelope } from "../../test/realtime";
import { message, thread, turn } from "../../test/threads";
import {
  type ConversationData,
  extend,
  type Loaded,
  mergeTurns,
  place,
  prepend,
  reduceConversation,
  reload,
} from "./conversation";

const stream = "thread:1";
const data = (from: Partial<ConversationData>): ConversationData => ({
  thread: thread({}),
  currency: "USD",
  messages: [],
  turns: [],
  live: [],
  older: null,
  newer: null,
  turnsCursor: null,
  as_of: { stream, sequence: 5 },
  ...from,
});
const event = (sequence: number, type: string, payload: Envelope["payload"]): Envelope => ({
  ...envelope(stream, sequence),
  event_type: type,
  payload,
});
const chain = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) =>
    message({ id: 10 + from + i, depth: from + i, parent_id: from + i === 1 ? null : 9 + from + i }),
  );
const page = (messages: Message[], next: string | null = null): Loaded => ({
  messages,
  turns: [],
  turnsCursor: null,
  next,
});
const ids = (d: ConversationData) => d.messages.map((m) => m.id);

describe("events of a thread", () => {
  it("are taken once and in order", () => {
    const known = data({});
    const old = event(5, "thread:thread:updated", { change: "updated", thread: thread({ title: "Old" }) });
    expect(reduceConversation(known, old).next).toBe(known);
    const news = event(6, "thread:thread:updated", { change: "updated", thread: thread({ title: "New" }) });
    const { next, refetch } = reduceConversation(known, news);
    expect(next.thread.title).toBe("New");
    expect(next.as_of.sequence).toBe(6);
    expect(refetch).toBe(false);
  });

  it("are loaded where some are missing before one", () => {
    const known = data({});
    const news = event(7, "thread:thread:updated", { change: "updated", thread: thread({ title: "New" }) });
    expect(reduceConversation(known, news)).toEqual({ next: known, refetch: true });
  });

  it("append a question with the place of its answer, and fill that in", () => {
    const question = message({ id: 13, depth: 3, parent_id: 12 });
    const answer = message({
      id: 14,
      depth: 4,
      parent_id: 13,
      role: "assistant",
      status: "pending",
      turn_id: 7,
    });
    const begun = reduceConversation(
      data({ messages: chain(1, 2) }),
      event(6, "thread:turn:updated", {
        turn: turn({ id: 7, status: "queued", assistant_message_id: 14 }),
        messages: [answer, question],
      }),
    );
    expect(begun.refetch).toBe(false);
    expect(ids(begun.next)).toEqual([11, 12, 13, 14]);
    const ended = reduceConversation(
      begun.next,
      event(7, "thread:turn:completed", {
        turn: turn({ id: 7, status: "succeeded", assistant_message_id: 14 }),
        messages: [{ ...answer, status: "complete", content: "Yes." }],
      }),
    );
    expect(ended.refetch).toBe(false);
    expect(ended.next.messages.at(-1)).toMatchObject({ id: 14, status: "complete", content: "Yes." });
  });

  it("ask for what is too long to be in them", () => {
    const pending = message({ id: 12, depth: 2, parent_id: 11, role: "assistant", status: "pending" });
    const step = reduceConversation(
      data({ messages: [message({ id: 11 }), pending] }),
      event(6, "thread:turn:completed", {
        turn: turn({ id: 7, status: "succeeded", assistant_message_id: 12 }),
        messages: [],
      }),
    );
    expect(step.refetch).toBe(true);
  });

  it("show another version at once, and ask how many there are", () => {
    const edited = message({ id: 20, depth: 3, parent_id: 12 });
    const step = reduceConversation(
      data({ messages: chain(1, 6) }),
      event(6, "thread:turn:updated", { turn: turn({ id: 8, kind: "edit" }), messages: [edited] }),
    );
    expect(ids(step.next)).toEqual([11, 12, 20]);
    expect(step.refetch).toBe(true);
  });

  it("load again when other messages are shown", () => {
    for (const change of ["branch", "cleared"]) {
      const e = event(6, "thread:thread:updated", { change, thread: thread({}) });
      expect(reduceConversation(data({}), e).refetch).toBe(true);
    }
  });
});

describe("messages", () => {
  it("keep how many versions there are when only their text changes", () => {
    const known = [message({ id: 11, siblings: { ids: [9, 11], index: 1 } })];
    expect(place(known, message({ id: 11, content: "new" }))?.[0]).toMatchObject({
      content: "new",
      siblings: { index: 1 },
    });
    expect(place(known, message({ id: 30, parent_id: 29 }))).toBeNull();
  });

  it("are put before only where they come before", () => {
    const known = data({ messages: chain(51, 60), older: "b" });
    expect(ids(prepend(known, page(chain(1, 50).reverse())))).toHaveLength(60);
    const others = chain(1, 50).map((m) => ({ ...m, id: m.id + 1000 }));
    expect(prepend(known, page(others))).toBe(known);
  });

  it("stay when the newest are loaded again, unless another version is shown", () => {
    const known = data({ messages: chain(1, 60) });
    expect(ids(reload(known, data({ messages: chain(11, 61), older: "b" })))).toHaveLength(61);
    const other = chain(11, 61).map((m) => ({ ...m, parent_id: 999 }));
    expect(reload(known, data({ messages: other, older: "b" })).older).toBe("b");
    expect(reload(known, data({}))).toMatchObject({ messages: [] });
  });
});

it("leaves what comes at the end to be loaded while an older place is looked at", () => {
  const looking = data({ messages: chain(1, 10), newer: "a" });
  const news = [message({ id: 100, depth: 91, parent_id: 99 })];
  const step = reduceConversation(
    looking,
    event(6, "thread:turn:updated", { turn: turn({ id: 9 }), messages: news }),
  );
  expect(step).toMatchObject({ refetch: false, next: { messages: looking.messages } });
  expect(ids(extend(looking, page(chain(8, 20))))).toHaveLength(20);
});

it("never lets a turn that has ended begin again", () => {
  const ended = turn({ id: 7, status: "cancelled" });
  expect(mergeTurns([ended], [turn({ id: 7, status: "running" })])).toEqual([ended]);
});
