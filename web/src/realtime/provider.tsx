import { useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
} from "react";
import { ApiError } from "../api/client";
import type { RealtimeClient } from "./client";
import { describe, type Link, startLink } from "./fallback";
import type { Session } from "./session";

const pollMs = 5_000;
const polled = new Set(["runs", "nodes", "flowcharts", "workers", "providers", "models"]);

const Context = createContext<RealtimeClient | null>(null);

export type Connection = "connecting" | "live" | "catching_up" | "polling" | "offline";

/** Owns the socket for as long as somebody is signed in. */
export function RealtimeProvider({
  children,
  onSignedOut,
}: {
  children: ReactNode;
  onSignedOut: () => void;
}) {
  const cache = useQueryClient();
  const [client, setClient] = useState<RealtimeClient | null>(null);

  useEffect(() => {
    let stopped = false;
    let session: Session | undefined;
    // The socket's library is not needed to show the page.
    void import("./session").then(({ startSession }) => {
      if (stopped) return;
      session = startSession(cache, onSignedOut);
      setClient(session.client);
    });
    return () => {
      stopped = true;
      session?.stop();
    };
  }, [cache, onSignedOut]);

  return <Context.Provider value={client}>{children}</Context.Provider>;
}

/** Receives a room's events while the component is mounted, from after on; null waits. */
export function useRoom(room: string | null, after?: number): void {
  const client = useContext(Context);
  // biome-ignore lint/correctness/useExhaustiveDependencies: after is where to begin; a later snapshot is told by the next effect
  useEffect(() => {
    if (client && room !== null) return client.acquire(room, after);
  }, [client, room]);
  useEffect(() => {
    if (client && room !== null && after !== undefined) client.advance(room, after);
  }, [client, room, after]);
}

const idle = startLink();
const never = () => () => {};

function useLink(): Link {
  const client = useContext(Context);
  return useSyncExternalStore(client?.subscribe ?? never, client?.getLink ?? (() => idle));
}

function useOnline(): boolean {
  return useSyncExternalStore(
    (changed) => {
      window.addEventListener("online", changed);
      window.addEventListener("offline", changed);
      return () => {
        window.removeEventListener("online", changed);
        window.removeEventListener("offline", changed);
      };
    },
    () => navigator.onLine,
  );
}

/** Refreshes what is on the screen while the socket has verifiably failed. */
export function usePolling(): { state: Connection; label: string; reason: string } {
  const cache = useQueryClient();
  const link = useLink();
  const online = useOnline();
  const [reachable, setReachable] = useState(true);
  const polling = link.phase === "polling";

  useEffect(() => {
    if (!polling) {
      setReachable(true);
      return;
    }
    const poll = async () => {
      const predicate = (query: { queryKey: readonly unknown[] }) => polled.has(String(query.queryKey[0]));
      await cache.refetchQueries({ type: "active", predicate });
      const lost = cache
        .getQueryCache()
        .findAll({ type: "active", predicate })
        .some((q) => q.state.error instanceof ApiError && q.state.error.status === 0);
      setReachable(!lost);
    };
    void poll();
    const timer = setInterval(() => void poll(), pollMs);
    return () => clearInterval(timer);
  }, [polling, cache]);

  return useMemo(() => {
    if (!online)
      return { state: "offline", label: "Offline", reason: "This device has no network connection." };
    if (polling && !reachable) {
      return {
        state: "offline",
        label: "Offline",
        reason: "The server cannot be reached. Trying again every 5 seconds.",
      };
    }
    const state = link.phase === "reconnecting" ? "catching_up" : link.phase;
    return { state, ...describe(link) };
  }, [link, online, polling, reachable]);
}
