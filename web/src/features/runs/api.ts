import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { FlowchartRun, LogItem, NodeDetail, PodLogPiece, RunStatus } from "../../api/aliases";
import { addressOf, api, idempotencyKey, result } from "../../api/client";

export interface RunFilter {
  flowchart_id?: number | undefined;
  status?: RunStatus[] | undefined;
}

export const runKeys = {
  all: ["runs"] as const,
  lists: ["runs", "list"] as const,
  detail: (id: number) => ["runs", "detail", id] as const,
  timeline: (id: number) => ["runs", "timeline", id] as const,
  events: (id: number) => ["runs", "events", id] as const,
  node: (id: number) => ["nodes", "detail", id] as const,
  artifacts: (id: number) => ["nodes", "artifacts", id] as const,
  output: (id: number) => ["nodes", "output", id] as const,
  logs: (id: number) => ["nodes", "logs", id] as const,
  nodeEvents: (id: number) => ["nodes", "events", id] as const,
  podLog: (id: number, attempt: number) => ["pod-log", id, attempt] as const,
};

const runQueryOf = ({ flowchart_id, status }: RunFilter) => ({
  ...(flowchart_id !== undefined && { flowchart_id }),
  ...(status && status.length > 0 && { status }),
});

export const runListQuery = (filter: RunFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: [...runKeys.lists, filter, limit],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/flowchart-runs", {
          params: { query: { ...runQueryOf(filter), limit, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const runQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.detail(id),
    queryFn: ({ signal }) => result(api.GET("/flowchart-runs/{id}", { params: { path: { id } }, signal })),
  });

export const timelineQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.timeline(id),
    queryFn: ({ signal }) =>
      result(api.GET("/flowchart-runs/{id}/timeline", { params: { path: { id } }, signal })),
  });

export const nodeQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.node(id),
    queryFn: ({ signal }): Promise<NodeDetail> =>
      result(api.GET("/nodes/{id}", { params: { path: { id } }, signal })),
  });

export const artifactsQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.artifacts(id),
    queryFn: async ({ signal }) =>
      (await result(api.GET("/nodes/{id}/artifacts", { params: { path: { id } }, signal }))).items,
  });

/** The whole of an output that is too large for the node's own answer; as text, for reading. */
export const outputQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.output(id),
    queryFn: async ({ signal }): Promise<string> =>
      String(
        await result(api.GET("/nodes/{id}/output", { params: { path: { id } }, parseAs: "text", signal })),
      ),
    staleTime: Number.POSITIVE_INFINITY, // an output is final
  });

export const outputAddress = (id: number): string => addressOf("/nodes/{id}/output", id);
export const artifactAddress = (id: number): string => addressOf("/artifacts/{id}/content", id);

const logPage = 1000;
const maxLogPages = 20;

/** All log items of a node run after a sequence, page by page, bounded. */
export async function fetchLogs(id: number, after: number, signal?: AbortSignal): Promise<LogItem[]> {
  const all: LogItem[] = [];
  let last = after;
  for (let page = 0; page < maxLogPages; page++) {
    const { items } = await result(
      api.GET("/nodes/{id}/logs", {
        params: { path: { id }, query: { after: last, limit: logPage } },
        ...(signal && { signal }),
      }),
    );
    all.push(...items);
    const tail = items.at(-1);
    if (!tail || items.length < logPage) break;
    last = tail.sequence;
  }
  return all;
}

export const logsQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.logs(id),
    queryFn: ({ signal }) => fetchLogs(id, 0, signal),
  });

const podLogPage = 1000;
const podLogEvery = 2_000;

/** Adds to the known pieces of a pod's log what was written since, page by page, bounded. */
export async function fetchPodLog(
  id: number,
  attempt: number,
  known: PodLogPiece[],
  signal?: AbortSignal,
): Promise<PodLogPiece[]> {
  const all = [...known];
  for (let page = 0; page < maxLogPages; page++) {
    const { items } = await result(
      api.GET("/nodes/{id}/attempts/{number}/pod-log", {
        params: { path: { id, number: attempt }, query: { after: all.at(-1)?.seq ?? 0, limit: podLogPage } },
        ...(signal && { signal }),
      }),
    );
    all.push(...items);
    if (items.length < podLogPage) break;
  }
  return all;
}

/** The log of an attempt's pod. It comes by no stream of events, so it is asked for while it may grow. */
export const podLogQuery = (id: number, attempt: number, live: boolean) =>
  queryOptions({
    queryKey: runKeys.podLog(id, attempt),
    queryFn: ({ client, signal }) =>
      fetchPodLog(id, attempt, client.getQueryData<PodLogPiece[]>(runKeys.podLog(id, attempt)) ?? [], signal),
    refetchInterval: live && podLogEvery,
  });

const eventPage = 1000;

const streamQuery = (queryKey: readonly unknown[], stream: string) =>
  queryOptions({
    queryKey,
    queryFn: async ({ signal }) => {
      const query = { stream, after: 0, limit: eventPage };
      return (await result(api.GET("/events", { params: { query }, signal }))).items;
    },
  });

export const eventsQuery = (runId: number) => streamQuery(runKeys.events(runId), `flowchart_run:${runId}`);

/** The events of a quick node, which has a stream of its own. */
export const quickEventsQuery = (nodeRunId: number) =>
  streamQuery(runKeys.nodeEvents(nodeRunId), `task:${nodeRunId}`);

export const cancelRun = (id: number): Promise<{ flowchart_run: FlowchartRun }> =>
  result(api.POST("/flowchart-runs/{id}/cancel", { params: { path: { id } } }));

export const pauseRun = (id: number): Promise<{ flowchart_run: FlowchartRun }> =>
  result(api.POST("/flowchart-runs/{id}/pause", { params: { path: { id } } }));

export const resumeRun = (id: number): Promise<{ flowchart_run: FlowchartRun }> =>
  result(api.POST("/flowchart-runs/{id}/resume", { params: { path: { id } } }));

export interface RetryChoice {
  from_node_run_id?: number;
  version?: number;
}

export const retryRun = (id: number, body: RetryChoice = {}): Promise<{ flowchart_run: FlowchartRun }> =>
  result(
    api.POST("/flowchart-runs/{id}/retry", { params: { path: { id }, header: idempotencyKey() }, body }),
  );

export const cancelNode = (id: number) =>
  result(api.POST("/nodes/{id}/cancel", { params: { path: { id } } }));
