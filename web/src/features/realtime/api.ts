import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Client } from "openapi-fetch";
import { api, result } from "../../api/client";
import type { Connection, Connections, RealtimeStatus } from "./model";

interface Json<T> {
  content: { "application/json": T };
}
interface Paths {
  "/realtime/status": {
    get: { parameters: { query: { rooms: number } }; responses: { 200: Json<RealtimeStatus> } };
  };
  "/realtime/connections": {
    get: {
      parameters: { query: { limit: number; cursor: string; room: string } };
      responses: { 200: Json<Connections> };
    };
  };
  "/realtime/connections/{sid}": {
    get: { parameters: { path: { sid: string } }; responses: { 200: Json<Connection> } };
  };
  "/realtime/connections/{sid}/disconnect": {
    post: {
      parameters: { path: { sid: string } };
      requestBody: Json<{ reconnect: boolean }>;
      responses: { 204: { content?: never } };
    };
  };
}

const realtime = api as unknown as Client<Paths>;

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
    result(realtime.GET("/realtime/status", { params: { query: { rooms: shownRooms } }, signal })),
  refetchInterval,
});

export const connectionsQuery = (room: string) =>
  infiniteQueryOptions({
    queryKey: [...realtimeKeys.connections, room],
    queryFn: ({ pageParam, signal }) =>
      result(
        realtime.GET("/realtime/connections", {
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
      result(realtime.GET("/realtime/connections/{sid}", { params: { path: { sid } }, signal })),
    refetchInterval: (query) => (query.state.status === "error" ? false : refetchInterval),
  });

/** Cuts a client off; it comes back by itself and catches up. */
export const disconnect = (sid: string): Promise<void> =>
  result(
    realtime.POST("/realtime/connections/{sid}/disconnect", {
      params: { path: { sid } },
      body: { reconnect: true },
    }),
  );
