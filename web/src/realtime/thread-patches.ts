// What the events of threads change in the cache, and of the texts that come.

import type { InfiniteData, QueryClient, QueryKey } from "@tanstack/react-query";
import type { Envelope, Page, Thread } from "../api/aliases";
import { chunkOf, liveTexts, threadKeys } from "../features/threads/api";
import { type ConversationData, reduceConversation, threadOf } from "../features/threads/conversation";
import { toolKeys } from "../features/tools/api";
import { bySequence } from "./stream";

const maxRecent = 300;
const maxRecentThreads = 20;

const idIn = (stream: string): number => Number(stream.slice(stream.indexOf(":") + 1));

export class ThreadPatcher {
  private readonly recent = new Map<number, Envelope[]>();

  constructor(
    private readonly cache: QueryClient,
    private readonly refresh: (...keys: QueryKey[]) => void,
  ) {}

  /** False when the event is not of a thread. */
  apply(e: Envelope): boolean {
    if (e.sequence_stream.startsWith("turn:")) {
      const chunk = chunkOf(e);
      if (chunk) liveTexts.apply(idIn(e.sequence_stream), chunk);
      return true;
    }
    if (!e.sequence_stream.startsWith("thread:")) return false;
    const id = idIn(e.sequence_stream);
    this.remember(id, e);
    this.reduce(id, e);
    this.patchLists(e);
    this.patchReports(id, e);
    return true;
  }

  resync(id: number): void {
    this.refresh(threadKeys.conversation(id), threadKeys.lists);
  }

  /** A snapshot that was made before events that are already shown: they come after it. */
  catchUp(id: number): void {
    for (const e of (this.recent.get(id) ?? []).toSorted(bySequence)) this.reduce(id, e);
  }

  private reduce(id: number, e: Envelope): void {
    const conversations = this.cache.getQueriesData<ConversationData>({
      queryKey: threadKeys.conversation(id),
    });
    for (const [key, known] of conversations) {
      if (!known) continue;
      const { next, refetch } = reduceConversation(known, e);
      if (next !== known) this.cache.setQueryData(key, next);
      if (refetch) this.refresh(key);
    }
  }

  private remember(id: number, e: Envelope): void {
    const known = this.recent.get(id) ?? [];
    this.recent.delete(id);
    this.recent.set(id, [...known, e].slice(-maxRecent));
    const oldest = this.recent.keys().next().value;
    if (this.recent.size > maxRecentThreads && oldest !== undefined) this.recent.delete(oldest);
  }

  private patchLists(e: Envelope): void {
    const thread = threadOf(e);
    if (!thread) return;
    let found = false;
    this.cache.setQueriesData<InfiniteData<Page<Thread>>>({ queryKey: threadKeys.lists }, (list) => {
      if (!list?.pages.some((page) => page.items.some((t) => t.id === thread.id))) return list;
      found = true;
      const pages = list.pages.map((page) => ({
        ...page,
        items: page.items.map((t) => (t.id === thread.id ? thread : t)),
      }));
      return { ...list, pages };
    });
    // New, gone, in the other list, or in another place of it.
    if (!found || e.event_type !== "thread:turn:updated") this.refresh(threadKeys.lists);
  }

  private patchReports(id: number, e: Envelope): void {
    if (e.event_type === "thread:turn:completed")
      this.refresh(threadKeys.usage(id), threadKeys.context(id), threadKeys.activity);
    else if (e.event_type === "thread:thread:updated")
      this.refresh(threadKeys.context(id), threadKeys.activity);
    if (e.event_type.startsWith("thread:turn:")) this.refresh(toolKeys.approvals);
  }
}
