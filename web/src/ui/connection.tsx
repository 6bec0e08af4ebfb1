import type { ReactNode } from "react";
import type { Details } from "../realtime/messages";
import { type ConnectionState, usePolling } from "../realtime/provider";
import classes from "./connection.module.css";
import { relative } from "./format";
import { useNow } from "./time";
import { Tooltip } from "./tooltip";

const transports: Record<string, string> = { websocket: "WebSocket", polling: "HTTP long polling" };

const closings: Record<string, string> = {
  shutdown: "the server was stopping",
  slow_consumer: "this browser took too long to read",
  replay_overflow: "too much was missed at once",
  revoked: "access was taken away",
  disconnected: "an administrator disconnected it",
};

function sharing({ carrier, tabs }: Details): string {
  if (carrier === "own") return "This tab only";
  const held = carrier === "shared" ? "" : ", one of them holds it";
  return tabs === 1 ? "1 tab" : `${tabs} tabs${held}`;
}

function rowsOf({ details, lastEvent }: ConnectionState, now: number): [string, ReactNode][] {
  const last = lastEvent();
  const { transport, worker, since, closed } = details;
  const rows: [string, ReactNode][] = [];
  if (transport !== null) rows.push(["Transport", transports[transport] ?? transport]);
  if (worker !== null) rows.push(["Worker", <code key="worker">{worker}</code>]);
  if (since !== null) rows.push(["Connected", relative(since, now)]);
  rows.push(["Last event", last === null ? "None yet" : relative(last, now)]);
  if (transport !== null) rows.push(["Shared by", sharing(details)]);
  if (closed !== null) rows.push(["Was closed", closings[closed] ?? closed]);
  return rows;
}

function Card({ connection }: { connection: ConnectionState }) {
  const now = useNow();
  return (
    <div className={classes.card}>
      <div className={classes.head}>
        <span className={classes.dot} data-state={connection.state} />
        {connection.label}
      </div>
      <p>{connection.reason}</p>
      <dl>
        {rowsOf(connection, now).map(([name, value]) => (
          <Row key={name} name={name}>
            {value}
          </Row>
        ))}
      </dl>
    </div>
  );
}

function Row({ name, children }: { name: string; children: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

/** How changes arrive: a dot with a word, and on a closer look what carries them. */
export function ConnectionDot() {
  const connection = usePolling();
  const { state, label, reason } = connection;
  return (
    <Tooltip label={<Card connection={connection} />} position="bottom-end">
      <button type="button" className={classes.connection} aria-label={`Connection: ${label}. ${reason}`}>
        <span className={classes.dot} data-state={state} />
        <span className={classes.label}>{label}</span>
      </button>
    </Tooltip>
  );
}
