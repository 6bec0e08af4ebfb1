import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, result } from "../../api/client";

/** Who looks at these figures wants the present. */
const refetchInterval = 3_000;
const shownRooms = 12;

export const realtimeKeys = {
  status: ["realtime", "status"] as const,
  connections: ["realtime", "connections"] as const,
  connection: (sid: string) => ["realtime", "connection", sid] as const,
};

export const statusQuery = queryOptions({
  queryKey: realtimeKeys.status,
  queryFn: ({ signal }) =>
    result(api.GET("/realtime/status", { params: { query: { rooms: shownRooms } }, signal })),
  refetchInterval,
});

export const connectionsQuery = (room: string) =>
  infiniteQueryOptions({
    queryKey: [...realtimeKeys.connections, room],
    queryFn: ({ pageParam, signal }) =>
      result(
        api.GET("/realtime/connections", {
          params: { query: { limit: 50, cursor: pageParam, room } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval,
  });

export const connectionQuery = (sid: string) =>
  queryOptions({
    queryKey: realtimeKeys.connection(sid),
    queryFn: ({ signal }) =>
      result(api.GET("/realtime/connections/{sid}", { params: { path: { sid } }, signal })),
    refetchInterval: (query) => (query.state.status === "error" ? false : refetchInterval),
  });

/** Cuts a client off; it comes back by itself and catches up. */
export const disconnect = (sid: string): Promise<void> =>
  result(
    api.POST("/realtime/connections/{sid}/disconnect", {
      params: { path: { sid } },
      body: { reconnect: true },
    }),
  );
