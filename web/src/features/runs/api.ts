import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { idempotencyKey, request } from "../../api/client";
import type {
  Envelope,
  FlowchartRun,
  LogItem,
  NodeDetail,
  Page,
  RunDetail,
  TimelineAttempt,
} from "../../api/types";

export interface RunFilter {
  flowchart_id?: number | undefined;
  status?: readonly string[] | undefined;
}

export const runKeys = {
  all: ["runs"] as const,
  lists: ["runs", "list"] as const,
  detail: (id: number) => ["runs", "detail", id] as const,
  timeline: (id: number) => ["runs", "timeline", id] as const,
  events: (id: number) => ["runs", "events", id] as const,
  node: (id: number) => ["nodes", "detail", id] as const,
  logs: (id: number) => ["nodes", "logs", id] as const,
};

export const runListQuery = (filter: RunFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: [...runKeys.lists, filter, limit],
    queryFn: ({ pageParam, signal }) =>
      request<Page<FlowchartRun>>("GET", "/flowchart-runs", {
        query: { flowchart_id: filter.flowchart_id, status: filter.status, limit, cursor: pageParam },
        signal,
      }),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const runQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.detail(id),
    queryFn: ({ signal }) => request<RunDetail>("GET", `/flowchart-runs/${id}`, { signal }),
  });

export const timelineQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.timeline(id),
    queryFn: ({ signal }) =>
      request<{ attempts: TimelineAttempt[] }>("GET", `/flowchart-runs/${id}/timeline`, { signal }),
  });

export const nodeQuery = (id: number) =>
  queryOptions({
    queryKey: runKeys.node(id),
    queryFn: ({ signal }) => request<NodeDetail>("GET", `/nodes/${id}`, { signal }),
  });

const logPage = 1000;
const maxLogPages = 20;

/** All log items of a node run after a sequence, page by page, bounded. */
export async function fetchLogs(id: number, after: number, signal?: AbortSignal): Promise<LogItem[]> {
  const all: LogItem[] = [];
  let last = after;
  for (let page = 0; page < maxLogPages; page++) {
    const { items } = await request<Page<LogItem>>("GET", `/nodes/${id}/logs`, {
      query: { after: last, limit: logPage },
      signal,
    });
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

const eventPage = 1000;

export const eventsQuery = (runId: number) =>
  queryOptions({
    queryKey: runKeys.events(runId),
    queryFn: async ({ signal }): Promise<Envelope[]> => {
      const page = await request<Page<Envelope>>("GET", "/events", {
        query: { stream: `flowchart_run:${runId}`, after: 0, limit: eventPage },
        signal,
      });
      return page.items;
    },
  });

export const cancelRun = (id: number): Promise<{ flowchart_run: FlowchartRun }> =>
  request("POST", `/flowchart-runs/${id}/cancel`);

export const retryRun = (id: number): Promise<{ flowchart_run: FlowchartRun }> =>
  request("POST", `/flowchart-runs/${id}/retry`, { headers: idempotencyKey() });
