import { queryOptions } from "@tanstack/react-query";
import type {
  ApiKey,
  ClusterTest,
  Integration,
  NodeExecutor,
  NodeExecutorChange,
  Retention,
  Worker,
} from "../../api/aliases";
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

export type LoadedExecutor = NodeExecutor & { etag: string | null };

export const executorKey = ["settings", "node-executor"] as const;

export const executorQuery = queryOptions({
  queryKey: executorKey,
  queryFn: async ({ signal }): Promise<LoadedExecutor> => {
    const { data, etag } = await withEtag(api.GET("/settings/node_executor", { signal }));
    return { ...data, etag };
  },
});

/** Saves only if nobody else has saved since these were loaded. */
export async function saveExecutor(change: NodeExecutorChange, etag: string | null): Promise<LoadedExecutor> {
  const { data, etag: now } = await withEtag(
    api.PATCH("/settings/node_executor", {
      params: { header: etag ? { "If-Match": etag } : {} },
      body: change,
    }),
  );
  return { ...data, etag: now };
}

/** Asks the cluster of the stored settings. What it finds wrong is its answer. */
export const testExecutor = (): Promise<ClusterTest> => result(api.POST("/settings/node_executor/test"));

export const integrationsKey = ["settings", "integrations"] as const;

export const integrationsQuery = queryOptions({
  queryKey: integrationsKey,
  queryFn: async ({ signal }) => (await result(api.GET("/settings/integrations", { signal }))).items,
});

export const saveIntegration = (
  { key, revision }: Integration,
  change: Record<string, string | null>,
): Promise<Integration> =>
  result(
    api.PATCH("/settings/integrations/{key}", {
      params: { path: { key }, header: { "If-Match": `"${revision}"` } },
      body: change,
    }),
  );
