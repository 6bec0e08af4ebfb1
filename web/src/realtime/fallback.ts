// When to poll. Only a verified failure starts polling: no ready connection
// within five seconds of the start, or one that was ready and is lost for three
// seconds. Errors and drops within that time are transients; the time runs on
// through them until the socket is ready. Polling ends as soon as the socket is
// back.

export const connectTimeoutMs = 5_000;
export const sustainedDisconnectMs = 3_000;

export type Phase = "connecting" | "catching_up" | "live" | "reconnecting" | "polling";
export type Timer = "connect" | "drop";

export type Failure = "socket_connect_timeout" | "socket_disconnected";

export interface Link {
  phase: Phase;
  everReady: boolean;
  failure: Failure | null;
  /** The timer that runs, if any. */
  timer: Timer | null;
  /** Its time was up while a socket was there that is not ready yet. */
  overdue: Failure | null;
}

export type LinkEvent =
  | { type: "connected" }
  | { type: "ready" }
  | { type: "connect_error" }
  | { type: "disconnected" }
  | { type: "timer"; timer: Timer };

export const startLink = (): Link => ({
  phase: "connecting",
  everReady: false,
  failure: null,
  timer: "connect",
  overdue: null,
});

const fail = (link: Link, failure: Failure): Link => ({
  ...link,
  phase: "polling",
  failure,
  timer: null,
  overdue: null,
});

export function step(link: Link, event: LinkEvent): Link {
  switch (event.type) {
    case "connected":
      return { ...link, phase: "catching_up" };
    case "ready":
      if (link.phase === "live") return link;
      return { phase: "live", everReady: true, failure: null, timer: null, overdue: null };
    case "connect_error":
      return link;
    case "disconnected":
      return lost(link);
    case "timer": {
      if (event.timer !== link.timer) return link; // a timer that was cleared meanwhile
      const failure = event.timer === "connect" ? "socket_connect_timeout" : "socket_disconnected";
      return link.phase === "catching_up" ? { ...link, timer: null, overdue: failure } : fail(link, failure);
    }
  }
}

function lost(link: Link): Link {
  if (link.phase !== "live" && link.phase !== "catching_up") return link;
  // Lost again before it had caught up: it was never back.
  const failure = link.failure ?? link.overdue;
  if (failure !== null) return fail(link, failure);
  return { ...link, phase: link.everReady ? "reconnecting" : "connecting", timer: link.timer ?? "drop" };
}

export const timerMs = (timer: Timer): number =>
  timer === "connect" ? connectTimeoutMs : sustainedDisconnectMs;

export function describe(link: Link): { label: string; reason: string } {
  switch (link.phase) {
    case "connecting":
      return { label: "Connecting", reason: "Opening the live connection." };
    case "catching_up":
      return { label: "Catching up", reason: "Reading what happened meanwhile." };
    case "live":
      return { label: "Live", reason: "Changes appear as they happen." };
    case "reconnecting":
      return { label: "Catching up", reason: "The live connection was lost a moment ago. Reconnecting." };
    case "polling":
      return {
        label: "Polling",
        reason: `${failureText(link.failure)} Pages refresh every 5 seconds until it is back.`,
      };
  }
}

function failureText(failure: Failure | null): string {
  return failure === "socket_connect_timeout"
    ? "The live connection could not be opened within 5 seconds."
    : "The live connection has been lost for more than 3 seconds.";
}
