import { QueryClient } from "@tanstack/react-query";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Envelope } from "../api/aliases";
import { liveTexts, threadKeys } from "../features/threads/api";
import type { ConversationData } from "../features/threads/conversation";
import { envelope } from "../test/realtime";
import { message, thread, turn } from "../test/threads";
import { CachePatcher } from "./patches";

const stream = "thread:1";
const key = threadKeys.conversationAt(1, 0);
const snapshot = (sequence: number): ConversationData => ({
  thread: thread({}),
  currency: "USD",
  messages: [message({ id: 11 })],
  turns: [],
  live: [],
  older: null,
  newer: null,
  turnsCursor: null,
  as_of: { stream, sequence },
});
const posted: Envelope = {
  ...envelope(stream, 6),
  event_type: "thread:turn:updated",
  payload: {
    turn: turn({ id: 7, status: "queued", assistant_message_id: 12, finished_at: null }),
    messages: [message({ id: 12, depth: 2, parent_id: 11, role: "assistant", status: "pending" })],
    thread: thread({ busy: true }),
  },
};

let cache: QueryClient;
let patcher: CachePatcher;
beforeEach(() => {
  cache = new QueryClient();
  patcher = new CachePatcher(cache);
});
afterEach(() => patcher.stop());

const held = () => cache.getQueryData<ConversationData>(key);

describe("events of a thread", () => {
  it("change the conversation and the lists", () => {
    cache.setQueryData(key, snapshot(5));
    const list = [...threadKeys.lists, "active", ""];
    cache.setQueryData(list, { pages: [{ items: [thread({})], next_cursor: null }], pageParams: [""] });
    patcher.apply(posted);
    expect(held()?.messages.map((m) => m.id)).toEqual([11, 12]);
    expect(held()?.turns[0]?.status).toBe("queued");
    expect(JSON.stringify(cache.getQueryData(list))).toContain('"busy":true');
  });

  it("come after a snapshot that was made before them", async () => {
    patcher.apply(posted);
    await cache.fetchQuery({ queryKey: key, queryFn: () => Promise.resolve(snapshot(5)) });
    await vi.waitFor(() => expect(held()?.as_of.sequence).toBe(6));
    expect(held()?.messages).toHaveLength(2);
  });

  it("bring the text of a turn past the conversation", () => {
    cache.setQueryData(key, snapshot(5));
    const before = held();
    const delta = { ...envelope("turn:70", 1, [stream]), event_type: "thread:turn:delta" };
    patcher.apply({ ...delta, payload: { attempt: 1, offset: 0, text: "Hello" } });
    patcher.apply({ ...delta, sequence: 2, payload: { attempt: 1, offset: 5, text: " you" } });
    expect(liveTexts.get(70).text).toBe("Hello you");
    expect(held()).toBe(before);
  });

  it("load again what a room cannot replay", async () => {
    const load = vi.fn(() => Promise.resolve(snapshot(9)));
    await cache.fetchQuery({ queryKey: key, queryFn: load });
    patcher.resync(stream);
    await vi.waitFor(() => expect(cache.getQueryState(key)?.isInvalidated).toBe(true));
  });
});
