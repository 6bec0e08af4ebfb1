import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Flowchart, FlowchartRun, Graph, GraphVersion, Validation } from "../../api/aliases";
import { api, idempotencyKey, result, withEtag } from "../../api/client";
import type { components } from "../../api/generated/schema";

export const flowchartKeys = {
  all: ["flowcharts"] as const,
  lists: ["flowcharts", "list"] as const,
  detail: (id: number) => ["flowcharts", "detail", id] as const,
  graph: (id: number) => ["flowcharts", "graph", id] as const,
  tool: (id: number) => ["flowcharts", "tool", id] as const,
  version: (id: number, number: number) => ["flowcharts", "version", id, number] as const,
};

export const flowchartListQuery = (q: string) =>
  infiniteQueryOptions({
    queryKey: [...flowchartKeys.lists, q],
    queryFn: ({ pageParam, signal }) =>
      result(api.GET("/flowcharts", { params: { query: { q, limit: 50, cursor: pageParam } }, signal })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const flowchartQuery = (id: number) =>
  queryOptions({
    queryKey: flowchartKeys.detail(id),
    queryFn: ({ signal }) => result(api.GET("/flowcharts/{id}", { params: { path: { id } }, signal })),
  });

export type LoadedGraph = GraphVersion & { etag: string | null };

export const graphQuery = (id: number) =>
  queryOptions({
    queryKey: flowchartKeys.graph(id),
    queryFn: async ({ signal }): Promise<LoadedGraph> => {
      const call = api.GET("/flowcharts/{id}/graph", { params: { path: { id } }, signal });
      const { data, etag } = await withEtag(call);
      return { ...data, etag };
    },
  });

export const versionQuery = (id: number, number: number) =>
  queryOptions({
    queryKey: flowchartKeys.version(id, number),
    queryFn: ({ signal }) =>
      result(api.GET("/flowcharts/{id}/versions/{number}", { params: { path: { id, number } }, signal })),
    staleTime: Number.POSITIVE_INFINITY, // a version never changes
  });

export type FlowchartDraft = components["schemas"]["CreateFlowchartInputBody"];
export type FlowchartChange = components["schemas"]["UpdateFlowchartInputBody"];

export const createFlowchart = (body: FlowchartDraft): Promise<Flowchart> =>
  result(api.POST("/flowcharts", { params: { header: idempotencyKey() }, body }));

export const updateFlowchart = (id: number, body: FlowchartChange): Promise<Flowchart> =>
  result(api.PATCH("/flowcharts/{id}", { params: { path: { id } }, body }));

export const deleteFlowchart = (id: number): Promise<void> =>
  result(api.DELETE("/flowcharts/{id}", { params: { path: { id } } }));

export const restoreFlowchart = (id: number): Promise<Flowchart> =>
  result(api.POST("/flowcharts/{id}/restore", { params: { path: { id } } }));

export const duplicateFlowchart = (id: number): Promise<Flowchart> =>
  result(api.POST("/flowcharts/{id}/duplicate", { params: { path: { id }, header: idempotencyKey() } }));

const bodyOf = ({ nodes, edges }: Graph): Graph => ({ nodes, edges });

/** Stores a new version; with an etag only when nobody else has stored one since. */
export async function saveGraph(id: number, graph: Graph, etag: string | null): Promise<LoadedGraph> {
  const answer = await withEtag(
    api.PUT("/flowcharts/{id}/graph", {
      params: { path: { id }, ...(etag && { header: { "If-Match": etag } }) },
      body: bodyOf(graph),
    }),
  );
  return { ...answer.data, etag: answer.etag };
}

export const validateGraph = (id: number, graph: Graph, signal?: AbortSignal): Promise<Validation> =>
  result(
    api.POST("/flowcharts/{id}/validate", {
      params: { path: { id } },
      body: bodyOf(graph),
      ...(signal && { signal }),
    }),
  );

export type StartRun = components["schemas"]["StartRunInputBody"];

export const startRun = (id: number, body: StartRun): Promise<{ flowchart_run: FlowchartRun }> =>
  result(api.POST("/flowcharts/{id}/runs", { params: { path: { id }, header: idempotencyKey() }, body }));

export type ToolDraft = Required<components["schemas"]["PutFlowchartToolInputBody"]>;
export type LoadedTool = { draft: ToolDraft | null; etag: string | null };

/** How a flowchart is published; that it is not is no error. */
export const flowchartToolQuery = (id: number) =>
  queryOptions({
    queryKey: flowchartKeys.tool(id),
    queryFn: async ({ signal }): Promise<LoadedTool> => {
      const call = api.GET("/flowcharts/{id}/tool", { params: { path: { id } }, signal });
      const { data, etag } = await withEtag(call);
      if (data.tool === null) return { draft: null, etag: null };
      const { name, description, enabled, wait_seconds } = data.tool;
      return { draft: { name, description, enabled, wait_seconds }, etag };
    },
  });

export const publishFlowchart = (id: number, body: ToolDraft, etag: string | null) =>
  result(
    api.PUT("/flowcharts/{id}/tool", {
      params: { path: { id }, header: etag ? { "If-Match": etag } : {} },
      body,
    }),
  );

export const withdrawFlowchart = (id: number): Promise<void> =>
  result(api.DELETE("/flowcharts/{id}/tool", { params: { path: { id } } }));
