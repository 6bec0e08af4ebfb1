import { queryOptions } from "@tanstack/react-query";
import type { Retrieved } from "../../api/aliases";
import { api, result } from "../../api/client";
import type { Asked } from "./asked";
import { queryOf } from "./model";

/** Each asking is recorded, and an answer costs tokens: it is not repeated by itself. */
export const retrievalQuery = (asked: Asked) =>
  queryOptions({
    queryKey: ["playground", asked],
    queryFn: ({ signal }): Promise<Retrieved> =>
      result(api.POST("/rag/query", { body: queryOf(asked), signal })),
    enabled: asked.q !== undefined,
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
