import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { idempotencyKey, request, requestWithEtag } from "../../api/client";
import type { Flowchart, FlowchartRun, Graph, GraphVersion, Json, Page, Validation } from "../../api/types";

export const flowchartKeys = {
  all: ["flowcharts"] as const,
  lists: ["flowcharts", "list"] as const,
  detail: (id: number) => ["flowcharts", "detail", id] as const,
  graph: (id: number) => ["flowcharts", "graph", id] as const,
  version: (id: number, number: number) => ["flowcharts", "version", id, number] as const,
};

export const flowchartListQuery = (q: string) =>
  infiniteQueryOptions({
    queryKey: [...flowchartKeys.lists, q],
    queryFn: ({ pageParam, signal }) =>
      request<Page<Flowchart>>("GET", "/flowcharts", { query: { q, limit: 50, cursor: pageParam }, signal }),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const flowchartQuery = (id: number) =>
  queryOptions({
    queryKey: flowchartKeys.detail(id),
    queryFn: ({ signal }) => request<Flowchart>("GET", `/flowcharts/${id}`, { signal }),
  });

export interface LoadedGraph extends GraphVersion {
  etag: string | null;
}

export const graphQuery = (id: number) =>
  queryOptions({
    queryKey: flowchartKeys.graph(id),
    queryFn: async ({ signal }): Promise<LoadedGraph> => {
      const { data, etag } = await requestWithEtag<GraphVersion>("GET", `/flowcharts/${id}/graph`, {
        signal,
      });
      return { ...data, etag };
    },
  });

export const versionQuery = (id: number, number: number) =>
  queryOptions({
    queryKey: flowchartKeys.version(id, number),
    queryFn: ({ signal }) => request<GraphVersion>("GET", `/flowcharts/${id}/versions/${number}`, { signal }),
    staleTime: Number.POSITIVE_INFINITY, // a version never changes
  });

export interface FlowchartDraft {
  name: string;
  description?: string;
  graph?: Graph;
}

export interface FlowchartChange {
  name?: string;
  description?: string;
  max_node_executions?: number | null;
  max_runtime_minutes?: number | null;
  max_parallel_nodes?: number | null;
}

export const createFlowchart = (body: FlowchartDraft): Promise<Flowchart> =>
  request("POST", "/flowcharts", { body, headers: idempotencyKey() });

export const updateFlowchart = (id: number, body: FlowchartChange): Promise<Flowchart> =>
  request("PATCH", `/flowcharts/${id}`, { body });

export const deleteFlowchart = (id: number): Promise<void> => request("DELETE", `/flowcharts/${id}`);

export const restoreFlowchart = (id: number): Promise<Flowchart> =>
  request("POST", `/flowcharts/${id}/restore`);

export const duplicateFlowchart = (id: number): Promise<Flowchart> =>
  request("POST", `/flowcharts/${id}/duplicate`, { headers: idempotencyKey() });

/** Stores a new version; with an etag only when nobody else has stored one since. */
export async function saveGraph(id: number, graph: Graph, etag: string | null): Promise<LoadedGraph> {
  const answer = await requestWithEtag<GraphVersion>("PUT", `/flowcharts/${id}/graph`, {
    body: { nodes: graph.nodes, edges: graph.edges },
    headers: etag ? { "If-Match": etag } : undefined,
  });
  return { ...answer.data, etag: answer.etag };
}

export const validateGraph = (id: number, graph: Graph, signal?: AbortSignal): Promise<Validation> =>
  request("POST", `/flowcharts/${id}/validate`, { body: { nodes: graph.nodes, edges: graph.edges }, signal });

export interface StartRun {
  input?: Json;
  start_node_id?: string;
}

export const startRun = (id: number, body: StartRun): Promise<{ flowchart_run: FlowchartRun }> =>
  request("POST", `/flowcharts/${id}/runs`, { body, headers: idempotencyKey() });
