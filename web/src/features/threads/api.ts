import { infiniteQueryOptions, type QueryClient, queryOptions } from "@tanstack/react-query";
import type {
  AttachmentPart,
  ChatSettings,
  Message,
  MessagePart,
  Page,
  Thread,
  Turn,
} from "../../api/aliases";
import { addressOf, api, idempotencyKey, result, upload, withEtag } from "../../api/client";
import type { components } from "../../api/generated/schema";
import type { ActivityClass } from "./activity-classes";
import { type ConversationData, type Loaded, reload } from "./conversation";
import { type Chunk, LiveTexts } from "./live";

type Schemas = components["schemas"];

export const threadKeys = {
  lists: ["threads", "list"] as const,
  search: ["threads", "search"] as const,
  conversation: (id: number) => ["threads", "conversation", id] as const,
  conversationAt: (id: number, around: number) => ["threads", "conversation", id, around] as const,
  context: (id: number) => ["threads", "context", id] as const,
  usage: (id: number) => ["threads", "usage", id] as const,
  activity: ["threads", "activity"] as const,
  settings: ["settings", "chat_runtime"] as const,
};

export const threadListQuery = (status: "active" | "archived" | "", title: string) =>
  infiniteQueryOptions({
    queryKey: [...threadKeys.lists, status, title],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/threads", {
          params: { query: { ...(status && { status }), title, limit: 50, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const searchQuery = (q: string) =>
  infiniteQueryOptions({
    queryKey: [...threadKeys.search, q],
    queryFn: ({ pageParam, signal }) =>
      result(api.GET("/threads/search", { params: { query: { q, limit: 20, cursor: pageParam } }, signal })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

const pageSize = 50;
const maxTurnPages = 5;

/** The turns whose answers are among the messages, going on from a cursor; bounded. */
async function turnsOf(id: number, messages: readonly Message[], from: string | null, signal?: AbortSignal) {
  const ids = messages.flatMap((m) => (m.turn_id === null ? [] : [m.turn_id]));
  const lowest = Math.min(...ids);
  const turns: Turn[] = [];
  let cursor = from;
  for (let page = 0; page < maxTurnPages && cursor !== null && ids.length > 0; page++) {
    const answer: Page<Turn> = await result(
      api.GET("/threads/{id}/turns", {
        params: { path: { id }, query: { limit: 200, cursor } },
        ...(signal && { signal }),
      }),
    );
    turns.push(...answer.items);
    cursor = answer.next_cursor;
    if ((answer.items.at(-1)?.id ?? 0) <= lowest) break;
  }
  return { turns, turnsCursor: cursor };
}

async function loadConversation(id: number, around: number, signal: AbortSignal): Promise<ConversationData> {
  const detail = await result(
    api.GET("/threads/{id}", { params: { path: { id }, query: { limit: pageSize } }, signal }),
  );
  const { messages: newest, next_cursor, turns: open, live, as_of, currency, ...thread } = detail;
  let place = { messages: newest, older: next_cursor, newer: null as string | null };
  if (around > 0 && !newest.some((m) => m.id === around)) {
    const query = { around, limit: pageSize };
    const page = await result(api.GET("/threads/{id}/messages", { params: { path: { id }, query }, signal }));
    place = { messages: page.items, older: page.next_cursor, newer: page.previous_cursor };
  }
  const ended = await turnsOf(id, place.messages, "", signal);
  // Those that had not ended in the snapshot are shown as they were then: their events follow.
  const known = new Set(open.map((t) => t.id));
  const turns = [...ended.turns.filter((t) => !known.has(t.id)), ...open].sort((a, b) => a.id - b.id);
  return {
    thread,
    currency,
    ...place,
    turns,
    turnsCursor: ended.turnsCursor,
    live: live ? [live] : [],
    as_of,
  };
}

/** around: a message that is looked at; 0: the newest. */
export const conversationQuery = (cache: QueryClient, id: number, around: number) =>
  queryOptions({
    queryKey: threadKeys.conversationAt(id, around),
    queryFn: async ({ signal }): Promise<ConversationData> => {
      const fresh = await loadConversation(id, around, signal);
      for (const one of fresh.live) {
        liveTexts.seed(one.turn_id, {
          attempt: one.attempt,
          text: one.text,
          parts: one.parts.map(({ offset, part }) => ({ at: offset, part })),
          sequence: one.as_of.sequence,
        });
      }
      return reload(cache.getQueryData<ConversationData>(threadKeys.conversationAt(id, around)), fresh);
    },
  });

async function messagesAt(id: number, cursor: string, turnsCursor: string | null) {
  const query = { limit: pageSize, cursor };
  const page = await result(api.GET("/threads/{id}/messages", { params: { path: { id }, query } }));
  return { page, loaded: { messages: page.items, ...(await turnsOf(id, page.items, turnsCursor)) } };
}

export async function fetchOlder(id: number, cursor: string, turnsCursor: string | null): Promise<Loaded> {
  const { page, loaded } = await messagesAt(id, cursor, turnsCursor);
  return { ...loaded, next: page.next_cursor };
}

export async function fetchNewer(id: number, cursor: string, turnsCursor: string | null): Promise<Loaded> {
  const { page, loaded } = await messagesAt(id, cursor, turnsCursor);
  return { ...loaded, next: page.previous_cursor };
}

export const contextQuery = (id: number) =>
  queryOptions({
    queryKey: threadKeys.context(id),
    queryFn: ({ signal }) => result(api.GET("/threads/{id}/context", { params: { path: { id } }, signal })),
    retry: false,
  });

export const threadUsageQuery = (id: number) =>
  queryOptions({
    queryKey: threadKeys.usage(id),
    queryFn: ({ signal }) => result(api.GET("/threads/{id}/usage", { params: { path: { id } }, signal })),
  });

export interface ActivityFilter {
  thread?: number;
  class?: ActivityClass[];
  reason?: string;
}

export const activityQuery = (filter: ActivityFilter) =>
  infiniteQueryOptions({
    queryKey: [...threadKeys.activity, filter],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/chat/activity", {
          params: {
            query: {
              ...(filter.thread !== undefined && { thread_id: filter.thread }),
              ...(filter.class && { class: filter.class }),
              ...(filter.reason && { reason_code: filter.reason }),
              limit: 50,
              cursor: pageParam,
            },
          },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export type ThreadDraft = Schemas["CreateThreadInputBody"];
export type ThreadChange = Schemas["UpdateThreadInputBody"];
export type PostTurn = Schemas["PostTurnInputBody"];

export const createThread = (body: ThreadDraft): Promise<Thread> =>
  result(api.POST("/threads", { params: { header: idempotencyKey() }, body }));

export const updateThread = (id: number, body: ThreadChange): Promise<Thread> =>
  result(api.PATCH("/threads/{id}", { params: { path: { id } }, body }));

export const renameThread = (id: number, title: string): Promise<Thread> => updateThread(id, { title });

export const deleteThread = (id: number): Promise<Thread> =>
  result(api.DELETE("/threads/{id}", { params: { path: { id } } }));

export const archiveThread = (id: number): Promise<Thread> =>
  result(api.POST("/threads/{id}/archive", { params: { path: { id } } }));

export const restoreThread = (id: number): Promise<Thread> =>
  result(api.POST("/threads/{id}/restore", { params: { path: { id } } }));

export const clearThread = (id: number): Promise<Thread> =>
  result(api.POST("/threads/{id}/clear", { params: { path: { id } } }));

export const postTurn = (id: number, body: PostTurn) =>
  result(api.POST("/threads/{id}/turns", { params: { path: { id }, header: idempotencyKey() }, body }));

export const regenerateTurn = (id: number, turn_id: number) =>
  result(
    api.POST("/threads/{id}/turns/{turn_id}/regenerate", {
      params: { path: { id, turn_id }, header: idempotencyKey() },
    }),
  );

export const cancelTurn = (id: number, turn_id: number) =>
  result(api.POST("/threads/{id}/turns/{turn_id}/cancel", { params: { path: { id, turn_id } } }));

/** Shows the branch that a message is in. */
export const showVersion = (id: number, message_id: number): Promise<Thread> =>
  result(api.POST("/threads/{id}/branch", { params: { path: { id } }, body: { message_id } }));

export const exportAddress = (id: number, format: "markdown" | "json"): string =>
  `${addressOf("/threads/{id}/export", id)}?format=${format}`;

export const attachmentAddress = (id: number): string => addressOf("/attachments/{id}/content", id);

export const uploadAttachment = (
  thread: number,
  file: File,
  signal: AbortSignal,
  onProgress: (fraction: number) => void,
): Promise<AttachmentPart> =>
  upload<AttachmentPart>(
    `${addressOf("/threads/{id}/attachments", thread)}?name=${encodeURIComponent(file.name || "pasted.png")}`,
    file,
    signal,
    onProgress,
  );

export const discardAttachment = (id: number): Promise<void> =>
  result(api.DELETE("/attachments/{id}", { params: { path: { id } } }));

export type LoadedSettings = ChatSettings & { etag: string | null };
export type SettingsChange = Schemas["UpdateChatSettingsInputBody"];

export const settingsQuery = queryOptions({
  queryKey: threadKeys.settings,
  queryFn: async ({ signal }): Promise<LoadedSettings> => {
    const { data, etag } = await withEtag(api.GET("/settings/chat_runtime", { signal }));
    return { ...data, etag };
  },
});

/** Saves only if nobody else has saved since these were loaded. */
export async function saveSettings(body: SettingsChange, etag: string | null): Promise<LoadedSettings> {
  const { data, etag: now } = await withEtag(
    api.PATCH("/settings/chat_runtime", { params: { header: etag ? { "If-Match": etag } : {} }, body }),
  );
  return { ...data, etag: now };
}

const eventPage = 1000;
const maxEventPages = 20;

/** A chunk of a turn's text, from the payload of its event. */
export function chunkOf(e: { sequence: number; payload: { [key: string]: unknown } }): Chunk | null {
  const { attempt, offset, text, part } = e.payload;
  if (typeof attempt !== "number" || typeof offset !== "number") return null;
  return {
    attempt,
    offset,
    text: typeof text === "string" ? text : "",
    ...(typeof part === "object" && part !== null && { part: part as MessagePart }),
    sequence: e.sequence,
  };
}

async function fetchChunks(turn: number, after: number): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  let last = after;
  for (let page = 0; page < maxEventPages; page++) {
    const query = { stream: `turn:${turn}`, after: last, limit: eventPage };
    const { items } = await result(api.GET("/events", { params: { query } }));
    for (const e of items) {
      const chunk = chunkOf(e);
      if (chunk) chunks.push(chunk);
    }
    const tail = items.at(-1);
    if (!tail || items.length < eventPage) break;
    last = tail.sequence;
  }
  return chunks;
}

/** The text of all turns that are being answered. */
export const liveTexts = new LiveTexts(fetchChunks);
