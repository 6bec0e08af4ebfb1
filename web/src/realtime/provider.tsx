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
import { describe } from "./fallback";
import { type Details, type HubState, startState } from "./messages";
import type { Session } from "./session";
import type { TabClient } from "./tab";

const pollMs = 5_000;
const polled = new Set([
  "runs",
  "nodes",
  "flowcharts",
  "workers",
  "providers",
  "models",
  "downloads",
  "threads",
  "approvals",
  "mcp-servers",
  "sources",
]);

const Context = createContext<TabClient | null>(null);

export type Connection = "connecting" | "live" | "catching_up" | "polling" | "offline" | "degraded";

export interface ConnectionState {
  state: Connection;
  label: string;
  reason: string;
  details: Details;
  /** When this tab last heard of anything. */
  lastEvent: () => number | null;
}

/** Holds the line to the browser's socket for as long as somebody is signed in. */
export function RealtimeProvider({
  children,
  onSignedOut,
}: {
  children: ReactNode;
  onSignedOut: () => void;
}) {
  const cache = useQueryClient();
  const [client, setClient] = useState<TabClient | null>(null);

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

const idle = startState("own");
const never = () => () => {};

function useHubState(client: TabClient | null): HubState {
  return useSyncExternalStore(client?.subscribe ?? never, client?.getState ?? (() => idle));
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

/** Refreshes what is on the screen while poll is set; false when the server cannot be reached. */
function useRefreshing(poll: boolean): boolean {
  const cache = useQueryClient();
  const [reachable, setReachable] = useState(true);
  useEffect(() => {
    if (!poll) {
      setReachable(true);
      return;
    }
    const refresh = async () => {
      if (document.visibilityState === "hidden") return;
      const predicate = (query: { queryKey: readonly unknown[] }) => polled.has(String(query.queryKey[0]));
      await cache.refetchQueries({ type: "active", predicate });
      const lost = cache
        .getQueryCache()
        .findAll({ type: "active", predicate })
        .some((q) => q.state.error instanceof ApiError && q.state.error.status === 0);
      setReachable(!lost);
    };
    void refresh();
    const timer = setInterval(() => void refresh(), pollMs);
    return () => clearInterval(timer);
  }, [poll, cache]);
  return reachable;
}

function say(hub: HubState, online: boolean, reachable: boolean): Omit<ConnectionState, "lastEvent"> {
  const { link, details } = hub;
  const offline = { state: "offline" as const, label: "Offline", details };
  if (!online) return { ...offline, reason: "This device has no network connection." };
  if (link.phase === "polling" && !reachable) {
    return { ...offline, reason: "The server cannot be reached. Trying again every 5 seconds." };
  }
  if (link.phase === "live" && details.degraded !== null) {
    const reason = `The server says that changes may come late: ${details.degraded}.`;
    return { state: "degraded", label: "Degraded", reason, details };
  }
  const state = link.phase === "reconnecting" ? "catching_up" : link.phase;
  return { state, ...describe(link), details };
}

/** How changes arrive, and why so. Refreshes by itself while the socket has verifiably failed; use it once. */
export function usePolling(): ConnectionState {
  const client = useContext(Context);
  const hub = useHubState(client);
  const online = useOnline();
  const reachable = useRefreshing(hub.link.phase === "polling");
  return useMemo(
    () => ({ ...say(hub, online, reachable), lastEvent: () => client?.lastEvent() ?? null }),
    [hub, online, reachable, client],
  );
}

/** What carries this tab's events. */
export function useDetails(): Details {
  return useHubState(useContext(Context)).details;
}
