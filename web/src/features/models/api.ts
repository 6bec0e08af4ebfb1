import { queryOptions } from "@tanstack/react-query";
import { request } from "../../api/client";
import type {
  JsonObject,
  Model,
  OfferedModel,
  Page,
  Provider,
  ProviderKind,
  ProviderTest,
} from "../../api/types";

export const modelKeys = {
  providers: ["providers"] as const,
  offered: (id: number) => ["providers", "offered", id] as const,
  models: ["models"] as const,
};

const maxPages = 10;

// Providers and models are few and are needed whole, for selects.
async function everything<T>(path: string, signal: AbortSignal): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | null = "";
  for (let page = 0; page < maxPages && cursor !== null; page++) {
    const answer: Page<T> = await request<Page<T>>("GET", path, { query: { limit: 200, cursor }, signal });
    all.push(...answer.items);
    cursor = answer.next_cursor;
  }
  return all;
}

export const providersQuery = queryOptions({
  queryKey: modelKeys.providers,
  queryFn: ({ signal }) => everything<Provider>("/providers", signal),
});

export const modelsQuery = queryOptions({
  queryKey: modelKeys.models,
  queryFn: ({ signal }) => everything<Model>("/models", signal),
});

export const offeredModelsQuery = (providerId: number) =>
  queryOptions({
    queryKey: modelKeys.offered(providerId),
    queryFn: async ({ signal }) =>
      (await request<Page<OfferedModel>>("GET", `/providers/${providerId}/models`, { signal })).items,
    staleTime: 60_000,
    retry: false,
  });

export interface ProviderDraft {
  name: string;
  kind: ProviderKind;
  base_url?: string;
  api_key?: string;
}

export interface ProviderChange {
  name?: string;
  base_url?: string;
  api_key?: string;
}

export const createProvider = (body: ProviderDraft): Promise<Provider> =>
  request("POST", "/providers", { body });
export const updateProvider = (id: number, body: ProviderChange): Promise<Provider> =>
  request("PATCH", `/providers/${id}`, { body });
export const deleteProvider = (id: number): Promise<void> => request("DELETE", `/providers/${id}`);
export const testProvider = (id: number): Promise<ProviderTest> => request("POST", `/providers/${id}/test`);

export interface ModelDraft {
  name: string;
  provider_id: number;
  model: string;
  config?: JsonObject;
}

export const createModel = (body: ModelDraft): Promise<Model> => request("POST", "/models", { body });
export const updateModel = (id: number, body: Partial<ModelDraft>): Promise<Model> =>
  request("PATCH", `/models/${id}`, { body });
export const deleteModel = (id: number): Promise<void> => request("DELETE", `/models/${id}`);
