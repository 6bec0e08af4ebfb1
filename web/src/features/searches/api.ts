import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Page, Retrieval, User } from "../../api/aliases";
import { api, result } from "../../api/client";
import type { SearchFilter } from "./filter";
import { periodFault, periodOf } from "./model";

export const searchKeys = {
  lists: ["searches", "list"] as const,
  detail: (id: number) => ["searches", "detail", id] as const,
  users: ["searches", "users"] as const,
};

export const searchListQuery = (filter: SearchFilter) =>
  infiniteQueryOptions({
    queryKey: [...searchKeys.lists, filter],
    queryFn: ({ pageParam, signal }): Promise<Page<Retrieval>> =>
      result(
        api.GET("/rag/retrievals", {
          params: {
            query: {
              limit: 50,
              cursor: pageParam,
              ...(filter.origin && { origin: filter.origin }),
              ...(filter.source && { source_id: filter.source }),
              ...(filter.user && { user_id: filter.user }),
              ...periodOf(filter),
            },
          },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    enabled: periodFault(filter) === null,
  });

export const searchQuery = (id: number) =>
  queryOptions({
    queryKey: searchKeys.detail(id),
    queryFn: ({ signal }): Promise<Retrieval> =>
      result(api.GET("/rag/retrievals/{id}", { params: { path: { id } }, signal })),
    staleTime: Number.POSITIVE_INFINITY, // it does not change
  });

/** Who may have searched. */
export const usersQuery = queryOptions({
  queryKey: searchKeys.users,
  queryFn: async ({ signal }): Promise<User[]> =>
    (await result(api.GET("/users", { params: { query: { limit: 200 } }, signal }))).items,
  staleTime: 60_000,
});
