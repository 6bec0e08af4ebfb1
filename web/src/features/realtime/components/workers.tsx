import { Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconCircleCheck, IconCircleX } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { bytes, count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { milliseconds, quantile, type RealtimeStatus, type RealtimeWorker } from "../model";
import classes from "../realtime.module.css";

function Health({ worker }: { worker: RealtimeWorker }) {
  const [Icon, color, label] =
    worker.mute !== ""
      ? [IconCircleX, "var(--st-failed)", "No answer"]
      : worker.ready
        ? [IconCircleCheck, "var(--st-succeeded)", "Ready"]
        : [IconAlertTriangle, "var(--st-degraded)", "Not ready"];
  return (
    <Tooltip label={worker.mute || worker.reason} disabled={!worker.mute && !worker.reason}>
      <span className={classes.health}>
        <Icon size={15} color={color} aria-hidden />
        {label}
      </span>
    </Tooltip>
  );
}

function Bus({ worker: { hub } }: { worker: RealtimeWorker }) {
  const { ok, reason, reconnects, dropped, last_heard } = hub.bus_health;
  const facts = [
    reason,
    last_heard && `Last heard of ${new Date(last_heard).toLocaleTimeString()}.`,
    `${count(reconnects)} reconnects, ${count(dropped)} hints dropped.`,
  ].filter(Boolean);
  return (
    <Tooltip label={facts.join(" ")}>
      <span className={classes.health}>
        {ok ? (
          <IconCircleCheck size={15} color="var(--st-succeeded)" aria-label="Carries" />
        ) : (
          <IconAlertTriangle size={15} color="var(--st-degraded)" aria-label="Does not carry" />
        )}
        {hub.bus}
      </span>
    </Tooltip>
  );
}

function Row({ worker }: { worker: RealtimeWorker }) {
  const mute = worker.mute !== "";
  return (
    <tr>
      <td>
        <code>{worker.worker}</code>
        <div className={table.sub}>
          {worker.hostname}
          {worker.pid > 0 && `, process ${worker.pid}`}
        </div>
      </td>
      <td>
        <Health worker={worker} />
      </td>
      <td>{mute ? "–" : <Bus worker={worker} />}</td>
      <td className={table.number}>{mute ? "–" : count(worker.connections.websocket)}</td>
      <td className={table.number}>{mute ? "–" : count(worker.connections.polling)}</td>
      <td className={table.number}>{mute ? "–" : bytes(worker.queued.bytes)}</td>
      <td className={table.number}>{mute ? "–" : milliseconds(quantile(worker.latency, 0.99))}</td>
      <td className={table.muted}>{mute ? "–" : <Ago at={worker.started_at} />}</td>
    </tr>
  );
}

export function WorkersSection({ status }: { status: RealtimeStatus }) {
  return (
    <Section title="Workers">
      <div className={classes.wide}>
        <table className={table.table}>
          <thead>
            <tr>
              <th>Worker</th>
              <th>State</th>
              <th>Bus</th>
              <th className={table.number}>WebSocket</th>
              <th className={table.number}>Polling</th>
              <th className={table.number}>Waiting</th>
              <th className={table.number}>p99</th>
              <th>Started</th>
            </tr>
          </thead>
          <tbody>
            {status.workers.map((worker) => (
              <Row key={worker.worker} worker={worker} />
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

interface RoomsProps {
  status: RealtimeStatus;
  /** Rooms lead to their connections. */
  linked: boolean;
}

export function RoomsSection({ status, linked }: RoomsProps) {
  const most = Math.max(1, ...status.rooms.map((r) => r.members));
  return (
    <Section title="Fullest rooms">
      {status.rooms.length === 0 ? (
        <p className={classes.quiet}>Nobody is in a room. Each open page of the Studio is in at least one.</p>
      ) : (
        <ul className={classes.rooms}>
          {status.rooms.map(({ room, members, workers }) => (
            <li key={room}>
              <span
                className={classes.roomFill}
                style={{ width: `${(members / most) * 100}%` }}
                aria-hidden
              />
              {linked ? (
                <Link to="/realtime" search={{ room }} className={classes.roomName} resetScroll={false}>
                  {room}
                </Link>
              ) : (
                <span className={classes.roomName}>{room}</span>
              )}
              <Tooltip label={`Members on ${workers} worker${workers === 1 ? "" : "s"}`}>
                <b>{count(members)}</b>
              </Tooltip>
            </li>
          ))}
        </ul>
      )}
    </Section>
  );
}
