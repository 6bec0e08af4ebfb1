import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { QueueDetail, RetriedList, Worker } from "../../api/aliases";
import { api, result } from "../../api/client";
import type { JobState } from "./job-states";

/** Who looks at these figures wants the present. */
const refetchInterval = 3_000;

export const queueKeys = {
  all: ["queues"] as const,
  list: ["queues", "list"] as const,
  detail: (name: string) => ["queues", "detail", name] as const,
  jobs: (name: string, state: JobState) => ["queues", "jobs", name, state] as const,
  dead: (name: string, code: string, pending: boolean) => ["queues", "dead", name, code, pending] as const,
  workers: ["queues", "workers"] as const,
};

export const queuesQuery = queryOptions({
  queryKey: queueKeys.list,
  queryFn: ({ signal }) => result(api.GET("/queues", { signal })),
  refetchInterval,
});

export const queueQuery = (name: string) =>
  queryOptions({
    queryKey: queueKeys.detail(name),
    queryFn: ({ signal }) => result(api.GET("/queues/{name}", { params: { path: { name } }, signal })),
    refetchInterval: (query) => (query.state.status === "error" ? false : refetchInterval),
  });

export const workersQuery = queryOptions({
  queryKey: queueKeys.workers,
  queryFn: ({ signal }) => result(api.GET("/workers", { signal })),
  refetchInterval,
});

export const jobsQuery = (name: string, state: JobState) =>
  infiniteQueryOptions({
    queryKey: queueKeys.jobs(name, state),
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/queues/{name}/jobs", {
          params: { path: { name }, query: { state, limit: 25, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval,
  });

export const deadQuery = (name: string, code: string, pending: boolean) =>
  infiniteQueryOptions({
    queryKey: queueKeys.dead(name, code, pending),
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/queues/{name}/dead", {
          params: { path: { name }, query: { code, pending, limit: 50, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: 10_000,
  });

export const steerQueue = (name: string, verb: "pause" | "resume"): Promise<QueueDetail> =>
  result(
    verb === "pause"
      ? api.POST("/queues/{name}/pause", { params: { path: { name } } })
      : api.POST("/queues/{name}/resume", { params: { path: { name } } }),
  );

export const steerWorker = (id: string, verb: "drain" | "resume"): Promise<Worker> =>
  result(
    verb === "drain"
      ? api.POST("/workers/{id}/drain", { params: { path: { id } } })
      : api.POST("/workers/{id}/resume", { params: { path: { id } } }),
  );

/** What one request retries at most. */
const batch = 100;

/** Retries items, in as many requests as it takes; the answers are put together. */
export async function retryDead(name: string, ids: string[]): Promise<RetriedList> {
  const all: RetriedList = { items: [], retried: 0, already_retried: 0, refused: 0, more: false };
  for (let i = 0; i < ids.length; i += batch) {
    const part = await result(
      api.POST("/queues/{name}/dead/retry", {
        params: { path: { name } },
        body: { ids: ids.slice(i, i + batch) },
      }),
    );
    all.items.push(...part.items);
    all.retried += part.retried;
    all.already_retried += part.already_retried;
    all.refused += part.refused;
  }
  return all;
}
