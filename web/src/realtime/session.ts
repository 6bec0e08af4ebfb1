// The socket and the patches of the cache, from signing in to signing out. Loaded
// after the first paint.

import type { QueryClient } from "@tanstack/react-query";
import { config } from "../config";
import { RealtimeClient } from "./client";
import { CachePatcher } from "./patches";

export interface Session {
  client: RealtimeClient;
  stop: () => void;
}

export function startSession(cache: QueryClient, onSignedOut: () => void): Session {
  const patcher = new CachePatcher(cache);
  const client = new RealtimeClient(
    { origin: window.location.origin, path: config.socketPath, transports: config.transports },
    {
      onEvent: (envelope, verdict) => {
        if (verdict === "gap") patcher.resync(envelope.sequence_stream);
        patcher.apply(envelope);
      },
      onResync: (rooms) => {
        for (const room of rooms) patcher.resync(room);
      },
      onUnauthenticated: onSignedOut,
    },
  );
  const leave = client.acquire("studio");
  client.start();
  return {
    client,
    stop: () => {
      leave();
      client.stop();
      patcher.stop();
    },
  };
}
