import { queryOptions } from "@tanstack/react-query";
import { request } from "../../api/client";
import type { ApiKey, Page, Worker } from "../../api/types";

export const apiKeysKey = ["api-keys"] as const;

export const apiKeysQuery = queryOptions({
  queryKey: apiKeysKey,
  queryFn: async ({ signal }) =>
    (await request<Page<ApiKey>>("GET", "/api-keys", { query: { limit: 200 }, signal })).items,
});

export const createApiKey = (name: string): Promise<{ api_key: ApiKey; key: string }> =>
  request("POST", "/api-keys", { body: { name } });

export const deleteApiKey = (id: number): Promise<void> => request("DELETE", `/api-keys/${id}`);

export const workersQuery = queryOptions({
  queryKey: ["workers"],
  queryFn: async ({ signal }) => (await request<Page<Worker>>("GET", "/workers", { signal })).items,
  refetchInterval: 15_000,
});
