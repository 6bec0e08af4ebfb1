import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { ToolCall } from "../../api/aliases";
import { api, result } from "../../api/client";

export const toolKeys = {
  approvals: ["approvals"] as const,
  call: (id: number) => ["tool-calls", "detail", id] as const,
  lists: ["tool-calls", "list"] as const,
};

/** The calls that wait for a person, the newest first. */
export const approvalsQuery = infiniteQueryOptions({
  queryKey: toolKeys.approvals,
  queryFn: ({ pageParam, signal }) =>
    result(api.GET("/approvals", { params: { query: { limit: 50, cursor: pageParam } }, signal })),
  initialPageParam: "",
  getNextPageParam: (page) => page.next_cursor ?? undefined,
});

/** What became of the calls of a turn: of those that somebody decided, its message says nothing while another waits. */
export const turnCallsQuery = (turn: number) =>
  queryOptions({
    // Read again with the calls that wait, whoever decides on one.
    queryKey: [...toolKeys.approvals, "turn", turn],
    queryFn: async ({ signal }) =>
      (
        await result(
          api.GET("/tool-calls", {
            params: { query: { owner_kind: "turn", owner_id: turn, limit: 200 } },
            signal,
          }),
        )
      ).items,
  });

export const callsQuery = (server: number) =>
  infiniteQueryOptions({
    queryKey: [...toolKeys.lists, server],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/tool-calls", {
          params: { query: { mcp_server_id: server, limit: 20, cursor: pageParam } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });

/** A call with its whole result. */
export const callQuery = (id: number) =>
  queryOptions({
    queryKey: toolKeys.call(id),
    queryFn: ({ signal }) => result(api.GET("/tool-calls/{id}", { params: { path: { id } }, signal })),
  });

export const approveCall = (id: number, note: string): Promise<ToolCall> =>
  result(
    api.POST("/tool-calls/{id}/approve", { params: { path: { id } }, body: note === "" ? {} : { note } }),
  );

/** The model is told the note. */
export const denyCall = (id: number, note: string): Promise<ToolCall> =>
  result(api.POST("/tool-calls/{id}/deny", { params: { path: { id } }, body: note === "" ? {} : { note } }));
