import { queryOptions } from "@tanstack/react-query";
import type { ApiKey, Retention, Worker } from "../../api/aliases";
import { api, result, withEtag } from "../../api/client";

export const apiKeysKey = ["api-keys"] as const;

export const apiKeysQuery = queryOptions({
  queryKey: apiKeysKey,
  queryFn: async ({ signal }) => (await result(api.GET("/api-keys", { signal }))).items,
});

export const createApiKey = (name: string): Promise<{ api_key: ApiKey; key: string }> =>
  result(api.POST("/api-keys", { body: { name } }));

export const deleteApiKey = (id: number): Promise<void> =>
  result(api.DELETE("/api-keys/{id}", { params: { path: { id } } }));

export const mcpServerQuery = queryOptions({
  queryKey: ["mcp-server"],
  queryFn: ({ signal }) => result(api.GET("/studio-mcp", { signal })),
});

/** Of the workers, those that have not ended. */
const state: Worker["state"][] = ["ready", "busy", "draining", "suspect"];

export const workersQuery = queryOptions({
  queryKey: ["workers"],
  queryFn: async ({ signal }) =>
    (await result(api.GET("/workers", { params: { query: { state } }, signal }))).items,
  refetchInterval: 15_000,
});

export type LoadedRetention = Retention & { etag: string | null };

export const retentionKey = ["settings", "retention"] as const;

export const retentionQuery = queryOptions({
  queryKey: retentionKey,
  queryFn: async ({ signal }): Promise<LoadedRetention> => {
    const { data, etag } = await withEtag(api.GET("/settings/retention", { signal }));
    return { ...data, etag };
  },
});

/** Saves only if nobody else has saved since these were loaded. */
export async function saveRetention(next: Retention, etag: string | null): Promise<LoadedRetention> {
  const { data, etag: now } = await withEtag(
    api.PATCH("/settings/retention", { params: { header: etag ? { "If-Match": etag } : {} }, body: next }),
  );
  return { ...data, etag: now };
}
