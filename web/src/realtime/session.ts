// The line to the browser's socket and the patches of the cache, from signing in
// to signing out. Loaded after the first paint.

import type { QueryClient } from "@tanstack/react-query";
import { config } from "../config";
import { meQuery } from "../features/auth/api";
import { carriersFor } from "./carriers";
import { CachePatcher } from "./patches";
import { holdLock } from "./presence";
import { TabClient } from "./tab";

export interface Session {
  client: TabClient;
  stop: () => void;
}

export function startSession(cache: QueryClient, onSignedOut: () => void): Session {
  const patcher = new CachePatcher(cache);
  const identity = String(cache.getQueryData(meQuery.queryKey)?.user.id ?? "");
  const options = { origin: window.location.origin, path: config.socketPath, transports: config.transports };
  const client = new TabClient(
    carriersFor(options, identity),
    {
      onEvent: (envelope) => patcher.apply(envelope),
      onResync: (rooms) => {
        for (const room of rooms) patcher.resync(room);
      },
      onSignedOut,
    },
    holdLock(navigator.locks),
  );
  const leave = client.acquire("studio");
  // A page that is kept for the way back holds no rooms meanwhile.
  const away = () => client.stop(false);
  const back = (event: PageTransitionEvent) => event.persisted && client.start();
  const seen = () => document.visibilityState === "visible" && client.retry();
  const online = () => client.retry();
  window.addEventListener("pagehide", away);
  window.addEventListener("pageshow", back);
  window.addEventListener("online", online);
  document.addEventListener("visibilitychange", seen);
  client.start();
  return {
    client,
    stop: () => {
      window.removeEventListener("pagehide", away);
      window.removeEventListener("pageshow", back);
      window.removeEventListener("online", online);
      document.removeEventListener("visibilitychange", seen);
      leave();
      client.stop(true);
      patcher.stop();
    },
  };
}
