import { infiniteQueryOptions } from "@tanstack/react-query";
import type { ListedNode, NodeStatus, QuickNode } from "../../api/aliases";
import { api, idempotencyKey, result } from "../../api/client";
import { nodeKeys } from "./keys";

/** The quick nodes, newest first. */
export const quickListQuery = (status: NodeStatus[] | undefined, limit = 50) =>
  infiniteQueryOptions({
    queryKey: [...nodeKeys.lists, status ?? [], limit],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/nodes", {
          params: {
            query: {
              quick: "true",
              ...(status && status.length > 0 && { status }),
              limit,
              cursor: pageParam,
            },
          },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

export const startQuick = async (body: QuickNode): Promise<ListedNode> =>
  (await result(api.POST("/nodes", { params: { header: idempotencyKey() }, body }))).task;

/** Gives the run, or of a quick node the node run, that begins again. */
export const retryNode = (id: number) =>
  result(api.POST("/nodes/{id}/retry", { params: { path: { id }, header: idempotencyKey() }, body: {} }));
