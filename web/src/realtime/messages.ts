// What tabs and the hub that holds the browser's one socket say to each other.
// Everything here passes through structured cloning.

import type { Envelope } from "../api/aliases";
import { type Link, startLink } from "./fallback";

/** Where the socket lives: in a shared worker, in the leading tab, or in each tab. */
export type CarrierKind = "shared" | "leader" | "own";

/** Up to where everything was delivered to a tab, and when that was. */
export interface Mark {
  position: string;
  at: number;
}

/** Rooms with the number that their stream is known up to; null: not known. */
export type Wanted = [room: string, after: number | null][];

export type ToHub =
  | { t: "hello"; rooms: Wanted; mark: Mark | null; locked: boolean }
  | { t: "join"; rooms: Wanted }
  | { t: "leave"; rooms: string[] }
  | { t: "beat" }
  | { t: "retry" }
  | { t: "bye"; signedOut: boolean };

export interface Details {
  carrier: CarrierKind;
  transport: string | null;
  sid: string | null;
  /** Of the server's processes, if the session's id tells. */
  worker: string | null;
  /** Since when the socket is connected. */
  since: number | null;
  tabs: number;
  /** Why the server says that it delivers late; null: it does not. */
  degraded: string | null;
  /** Why the server closed the last connection, if it said. */
  closed: string | null;
}

export interface HubState {
  link: Link;
  details: Details;
}

export type ToTab =
  | { t: "state"; state: HubState }
  | { t: "event"; event: Envelope }
  | { t: "mark"; mark: Mark }
  | { t: "resync"; rooms: string[] }
  | { t: "beat" }
  /** The hub does not know the tab: it is new, or the tab was silent for long. */
  | { t: "unknown" }
  | { t: "signed_out" };

export const startState = (carrier: CarrierKind): HubState => ({
  link: startLink(),
  details: {
    carrier,
    transport: null,
    sid: null,
    worker: null,
    since: null,
    tabs: 1,
    degraded: null,
    closed: null,
  },
});
