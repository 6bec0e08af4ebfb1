import { queryOptions } from "@tanstack/react-query";
import type { EmbeddingTest, RetrievalChange, RetrievalSettings } from "../../api/aliases";
import { api, result, withEtag } from "../../api/client";

export type LoadedRetrieval = RetrievalSettings & { etag: string | null };

export const retrievalKey = ["settings", "rag"] as const;

export const retrievalQuery = queryOptions({
  queryKey: retrievalKey,
  queryFn: async ({ signal }): Promise<LoadedRetrieval> => {
    const { data, etag } = await withEtag(api.GET("/settings/rag", { signal }));
    return { ...data, etag };
  },
});

/** Saves only if nobody else has saved since these were loaded. */
export async function saveRetrieval(change: RetrievalChange, etag: string | null): Promise<LoadedRetrieval> {
  const { data, etag: now } = await withEtag(
    api.PATCH("/settings/rag", { params: { header: etag ? { "If-Match": etag } : {} }, body: change }),
  );
  return { ...data, etag: now };
}

/** Asks the stored embedding model for a vector. What fails is its answer. */
export const testEmbedding = (): Promise<EmbeddingTest> => result(api.POST("/settings/rag/test"));
