// News of sources in the cache. Loaded with the first of them: the page's first paint does without.

import type { InfiniteData, QueryClient, QueryKey } from "@tanstack/react-query";
import type { Envelope, IndexRun, Page, Source } from "../../api/aliases";
import type { LoadedSource } from "./api";
import { sourceKeys } from "./keys";
import { isFinal, newsOf, withRun } from "./model";

type Refresh = (...keys: QueryKey[]) => void;

function patchList<T extends { id: number }>(
  cache: QueryClient,
  queryKey: QueryKey,
  id: number,
  change: (item: T) => T,
): boolean {
  let found = false;
  cache.setQueriesData<InfiniteData<Page<T>>>({ queryKey }, (list) => {
    if (!list?.pages.some((page) => page.items.some((item) => item.id === id))) return list;
    found = true;
    const pages = list.pages.map((page) => ({
      ...page,
      items: page.items.map((item) => (item.id === id ? change(item) : item)),
    }));
    return { ...list, pages };
  });
  return found;
}

function applyRun(cache: QueryClient, run: IndexRun, refresh: Refresh): void {
  const known = cache.getQueryData<IndexRun>(sourceKeys.run(run.id));
  if (known && isFinal(known)) return;
  if (known) cache.setQueryData(sourceKeys.run(run.id), run);
  cache.setQueryData<LoadedSource>(sourceKeys.detail(run.source_id), (s) => s && withRun(s, run));
  patchList<Source>(cache, sourceKeys.lists, run.source_id, (s) => withRun(s, run));
  const listed = patchList<IndexRun>(cache, sourceKeys.runs(run.source_id), run.id, () => run);
  if (!listed) refresh(sourceKeys.runs(run.source_id));
  if (known && known.counts.failed !== run.counts.failed) refresh(sourceKeys.errors(run.id));
  // The plan is there, or the run goes on after a wait: the journal is read again from its beginning.
  if (known && known.status !== run.status)
    refresh(sourceKeys.journal(run.id), sourceKeys.journalList(run.id), sourceKeys.errors(run.id));
  if (isFinal(run))
    refresh(
      sourceKeys.detail(run.source_id),
      sourceKeys.lists,
      sourceKeys.files(run.source_id),
      sourceKeys.collections,
      sourceKeys.health,
    );
}

export function applySourceEvent(cache: QueryClient, e: Envelope, refresh: Refresh): void {
  const news = newsOf(e);
  if (!news) return;
  const { source, run, sourceId } = news;
  if (source) {
    // What an event says of a source has no entity tag: the next change must not overwrite another one's.
    cache.setQueryData<LoadedSource>(
      sourceKeys.detail(sourceId),
      (s) => s && { ...s, ...source, etag: s.revision === source.revision ? s.etag : null },
    );
    if (!patchList<Source>(cache, sourceKeys.lists, sourceId, (s) => ({ ...s, ...source })))
      refresh(sourceKeys.lists);
  }
  if (run) applyRun(cache, run, refresh);
  if (news.change === "created" || news.change === "deleted")
    refresh(sourceKeys.lists, sourceKeys.collections, sourceKeys.health);
  if (news.change === "updated" || news.change === "deleted") refresh(sourceKeys.detail(sourceId));
}
