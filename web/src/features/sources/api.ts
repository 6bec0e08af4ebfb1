import { infiniteQueryOptions, type QueryClient, queryOptions } from "@tanstack/react-query";
import type {
  Collection,
  IndexFile,
  IndexMode,
  IndexRun,
  Page,
  Source,
  SourceChange,
  SourceCheck,
  SourceDraft,
  SourceQuestion,
} from "../../api/aliases";
import { api, idempotencyKey, result, withEtag } from "../../api/client";
import type { SourceFilter } from "./filter";
import { type Journal, nextJournal } from "./journal";
import { sourceKeys } from "./keys";

const next = (page: { next_cursor: string | null }) => page.next_cursor ?? undefined;

export const sourceListQuery = (filter: SourceFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: [...sourceKeys.lists, filter, limit],
    queryFn: ({ pageParam, signal }): Promise<Page<Source>> =>
      result(api.GET("/rag/sources", { params: { query: { ...filter, limit, cursor: pageParam } }, signal })),
    initialPageParam: "",
    getNextPageParam: next,
  });

export type LoadedSource = Source & { etag: string | null };

export const sourceQuery = (id: number) =>
  queryOptions({
    queryKey: sourceKeys.detail(id),
    queryFn: async ({ signal }): Promise<LoadedSource> => {
      const { data, etag } = await withEtag(
        api.GET("/rag/sources/{id}", { params: { path: { id } }, signal }),
      );
      return { ...data, etag };
    },
  });

export const createSource = (body: SourceDraft): Promise<Source> =>
  result(api.POST("/rag/sources", { params: { header: idempotencyKey() }, body }));

/** With an etag only when nobody else has changed it since. */
export const updateSource = (
  id: number,
  body: SourceChange,
  etag: string | null = null,
): Promise<Source & { notice?: string }> =>
  result(
    api.PATCH("/rag/sources/{id}", {
      params: { path: { id }, ...(etag && { header: { "If-Match": etag } }) },
      body,
    }),
  );

export const deleteSource = (id: number): Promise<Source> =>
  result(api.DELETE("/rag/sources/{id}", { params: { path: { id } } }));

export const restoreSource = (id: number): Promise<Source> =>
  result(api.POST("/rag/sources/{id}/restore", { params: { path: { id } } }));

/** Whether a source can be reached and what is there; nothing is stored. */
export const checkSource = (body: SourceQuestion): Promise<SourceCheck> =>
  result(api.POST("/rag/sources/check", { body }));

export const localRootsQuery = queryOptions({
  queryKey: sourceKeys.roots,
  queryFn: ({ signal }) => result(api.GET("/rag/local-roots", { signal })),
});

export const foldersQuery = (path: string) =>
  queryOptions({
    queryKey: sourceKeys.folders(path),
    queryFn: ({ signal }) =>
      result(api.GET("/rag/local-roots/browse", { params: { query: { path } }, signal })),
    retry: false,
  });

export interface IndexChoice {
  mode: IndexMode;
  plan_first?: boolean;
  only_failed_of?: number;
}

export const startIndex = (id: number, body: IndexChoice): Promise<{ index_run: IndexRun }> =>
  result(api.POST("/rag/sources/{id}/index", { params: { path: { id }, header: idempotencyKey() }, body }));

export const indexRunsQuery = (source: number) =>
  infiniteQueryOptions({
    queryKey: sourceKeys.runs(source),
    queryFn: ({ pageParam, signal }): Promise<Page<IndexRun>> =>
      result(
        api.GET("/rag/index-runs", {
          params: { query: { source_id: source, limit: 30, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: next,
  });

export const indexRunQuery = (id: number) =>
  queryOptions({
    queryKey: sourceKeys.run(id),
    queryFn: ({ signal }): Promise<IndexRun> =>
      result(api.GET("/rag/index-runs/{id}", { params: { path: { id } }, signal })),
  });

export type RunOrder = "apply" | "pause" | "resume" | "cancel";

export const orderRun = (id: number, order: RunOrder): Promise<{ index_run: IndexRun }> => {
  const params = { params: { path: { id } } };
  switch (order) {
    case "apply":
      return result(api.POST("/rag/index-runs/{id}/apply", params));
    case "pause":
      return result(api.POST("/rag/index-runs/{id}/pause", params));
    case "resume":
      return result(api.POST("/rag/index-runs/{id}/resume", params));
    case "cancel":
      return result(api.POST("/rag/index-runs/{id}/cancel", params));
  }
};

export interface JournalFilter {
  status?: IndexFile["status"];
  action?: IndexFile["action"];
  q?: string;
}

const journalPage = 200;

const listEvery = 3_000;
const maxFollowed = 3; // pages; a list that was read further down stands still until the run's state changes

/** The journal as a list: what the filter lets through, page by page. */
export const journalListQuery = (run: number, filter: JournalFilter, moving: boolean) =>
  infiniteQueryOptions({
    queryKey: [...sourceKeys.journalList(run), filter],
    queryFn: ({ pageParam, signal }): Promise<Page<IndexFile>> =>
      result(
        api.GET("/rag/index-runs/{id}/files", {
          params: { path: { id: run }, query: { ...filter, limit: 100, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: next,
    refetchInterval: (query) => moving && (query.state.data?.pages.length ?? 0) <= maxFollowed && listEvery,
  });

const journalEvery = 1_500;

/**
 * Every file of a run, for the grid. Only pages that may have changed are read again: those before the place up to
 * which the run has come are final.
 */
export const journalQuery = (cache: QueryClient, run: number, moving: boolean) =>
  queryOptions({
    queryKey: sourceKeys.journal(run),
    queryFn: ({ signal }): Promise<Journal> =>
      nextJournal(
        cache.getQueryData<Journal>(sourceKeys.journal(run)),
        (cursor) =>
          result(
            api.GET("/rag/index-runs/{id}/files", {
              params: { path: { id: run }, query: { limit: journalPage, cursor } },
              signal,
            }),
          ),
        !moving,
      ),
    refetchInterval: moving && journalEvery,
  });

export const errorGroupsQuery = (run: number) =>
  queryOptions({
    queryKey: sourceKeys.errors(run),
    queryFn: async ({ signal }) =>
      (await result(api.GET("/rag/index-runs/{id}/errors", { params: { path: { id: run } }, signal }))).items,
  });

export interface FileFilter {
  q?: string;
  language?: string;
  kind?: string;
}

export const sourceFilesQuery = (source: number, filter: FileFilter) =>
  infiniteQueryOptions({
    queryKey: [...sourceKeys.files(source), filter],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/rag/sources/{id}/files", {
          params: { path: { id: source }, query: { ...filter, limit: 100, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: next,
  });

export const chunksQuery = (file: number) =>
  infiniteQueryOptions({
    queryKey: sourceKeys.chunks(file),
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/rag/files/{id}/chunks", {
          params: { path: { id: file }, query: { limit: 50, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: next,
  });

export const healthQuery = queryOptions({
  queryKey: sourceKeys.health,
  queryFn: ({ signal }) => result(api.GET("/rag/health", { signal })),
  staleTime: 15_000,
});

export const collectionsQuery = infiniteQueryOptions({
  queryKey: sourceKeys.collections,
  queryFn: ({ pageParam, signal }): Promise<Page<Collection>> =>
    result(api.GET("/rag/collections", { params: { query: { limit: 100, cursor: pageParam } }, signal })),
  initialPageParam: "",
  getNextPageParam: next,
});
