import { queryOptions } from "@tanstack/react-query";
import type { Model, Page, Provider, ProviderTest } from "../../api/aliases";
import { api, result } from "../../api/client";
import type { components } from "../../api/generated/schema";

export const modelKeys = {
  providers: ["providers"] as const,
  offered: (id: number) => ["providers", "offered", id] as const,
  models: ["models"] as const,
};

const maxPages = 10;

// Providers and models are few and are needed whole, for selects.
async function everything<T>(
  read: (query: { limit: number; cursor: string }) => Promise<Page<T>>,
): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | null = "";
  for (let page = 0; page < maxPages && cursor !== null; page++) {
    const answer: Page<T> = await read({ limit: 200, cursor });
    all.push(...answer.items);
    cursor = answer.next_cursor;
  }
  return all;
}

export const providersQuery = queryOptions({
  queryKey: modelKeys.providers,
  queryFn: ({ signal }) =>
    everything((query) => result(api.GET("/providers", { params: { query }, signal }))),
});

export const modelsQuery = queryOptions({
  queryKey: modelKeys.models,
  queryFn: ({ signal }) => everything((query) => result(api.GET("/models", { params: { query }, signal }))),
});

/** Models that answer, which those for embeddings do not. */
export const answeringModelsQuery = queryOptions({
  ...modelsQuery,
  select: (models: Model[]) => models.filter((m) => m.config?.purpose !== "embedding"),
});

export const offeredModelsQuery = (id: number) =>
  queryOptions({
    queryKey: modelKeys.offered(id),
    queryFn: async ({ signal }) =>
      (await result(api.GET("/providers/{id}/models", { params: { path: { id } }, signal }))).items,
    staleTime: 60_000,
    retry: false,
  });

export type ProviderDraft = components["schemas"]["CreateProviderInputBody"];
export type ProviderChange = components["schemas"]["UpdateProviderInputBody"];

export const createProvider = (body: ProviderDraft): Promise<Provider> =>
  result(api.POST("/providers", { body }));
/** The notice says what happened to the key, where something did. */
export const updateProvider = (id: number, body: ProviderChange): Promise<{ notice?: string }> =>
  result(api.PATCH("/providers/{id}", { params: { path: { id } }, body }));
export const deleteProvider = (id: number): Promise<void> =>
  result(api.DELETE("/providers/{id}", { params: { path: { id } } }));
export const testProvider = (id: number): Promise<ProviderTest> =>
  result(api.POST("/providers/{id}/test", { params: { path: { id } } }));

export type ModelDraft = components["schemas"]["CreateModelInputBody"];

export const createModel = (body: ModelDraft): Promise<Model> => result(api.POST("/models", { body }));
export const updateModel = (id: number, body: Partial<ModelDraft>): Promise<Model> =>
  result(api.PATCH("/models/{id}", { params: { path: { id } }, body }));
export const deleteModel = (id: number): Promise<void> =>
  result(api.DELETE("/models/{id}", { params: { path: { id } } }));
