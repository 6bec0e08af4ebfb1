// When to poll. Only a verified failure starts polling: no connection within
// five seconds of the start, a socket lost before it was ever ready, or one lost
// for three seconds after that. A connect error alone is a transient; and
// polling ends as soon as the socket is back.

export const connectTimeoutMs = 5_000;
export const sustainedDisconnectMs = 3_000;

export type Phase = "connecting" | "catching_up" | "live" | "reconnecting" | "polling";
export type Timer = "connect" | "drop";

export type Failure = "socket_connect_timeout" | "socket_disconnected_before_ready" | "socket_disconnected";

export interface Link {
  phase: Phase;
  everReady: boolean;
  failure: Failure | null;
  /** The timer that runs, if any. */
  timer: Timer | null;
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
});

const fail = (link: Link, failure: Failure): Link => ({ ...link, phase: "polling", failure, timer: null });

export function step(link: Link, event: LinkEvent): Link {
  switch (event.type) {
    case "connected":
      return { ...link, phase: "catching_up", timer: null };
    case "ready":
      return { phase: "live", everReady: true, failure: null, timer: null };
    case "connect_error":
      return link;
    case "disconnected":
      if (link.phase === "polling" || link.phase === "reconnecting") return link;
      if (!link.everReady) return fail(link, "socket_disconnected_before_ready");
      // Lost again while catching up after a failure: it was never back.
      if (link.failure !== null) return fail(link, link.failure);
      return { ...link, phase: "reconnecting", timer: "drop" };
    case "timer":
      if (event.timer !== link.timer) return link; // a timer that was cleared meanwhile
      return fail(link, event.timer === "connect" ? "socket_connect_timeout" : "socket_disconnected");
  }
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
  switch (failure) {
    case "socket_connect_timeout":
      return "The live connection could not be opened within 5 seconds.";
    case "socket_disconnected_before_ready":
      return "The live connection closed before it was ready.";
    default:
      return "The live connection has been lost for more than 3 seconds.";
  }
}
