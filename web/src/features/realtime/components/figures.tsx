import { Tooltip } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import { count } from "../../../ui/format";
import { Section } from "../../../ui/page";
import { bars, type Latency, milliseconds, quantile, type RealtimeStatus, total, troubles } from "../model";
import classes from "../realtime.module.css";

function Tile({ label, value, hint, tone }: { label: string; value: string; hint: string; tone?: string }) {
  return (
    <div className={classes.tile}>
      <span>{label}</span>
      <b style={tone ? { color: tone } : undefined}>{value}</b>
      <small>{hint}</small>
    </div>
  );
}

const plural = (n: number, one: string, many = `${one}s`): string => `${count(n)} ${n === 1 ? one : many}`;

export function Tiles({ status }: { status: RealtimeStatus }) {
  const { totals, workers } = status;
  const { websocket, polling } = totals.connections;
  const answering = workers.filter((w) => w.mute === "").length;
  const closed = totals.slow_closes + totals.overflows;
  return (
    <div className={classes.tiles}>
      <Tile
        label="Connections"
        value={count(total(totals.connections))}
        hint={`${count(websocket)} WebSocket, ${count(polling)} polling, on ${plural(answering, "worker")}`}
      />
      <Tile
        label="Delivered"
        value={count(totals.delivered)}
        hint={`${plural(totals.from_log, "event")} found in the log first`}
      />
      <Tile
        label="Caught up"
        value={count(totals.replays)}
        hint={`${plural(totals.replayed, "event")} replayed, ${plural(totals.resyncs, "resync")}, ${plural(totals.gaps, "gap")} filled`}
      />
      <Tile
        label="Closed as too slow"
        value={count(closed)}
        hint={
          totals.queued.frames === 0
            ? "nothing waits to be sent"
            : `${plural(totals.queued.frames, "frame")} wait to be sent`
        }
        {...(closed > 0 && { tone: "var(--st-degraded)" })}
      />
    </div>
  );
}

export function Troubles({ status }: { status: RealtimeStatus }) {
  const items = troubles(status);
  if (items.length === 0) return null;
  return (
    <ul className={classes.troubles} role="alert">
      {items.map((item) => (
        <li key={item.key}>
          <IconAlertTriangle size={16} color="var(--st-degraded)" aria-hidden />
          <span>{item.text}</span>
        </li>
      ))}
    </ul>
  );
}

export function LatencySection({ latency }: { latency: Latency }) {
  const marks: [string, number | null][] = [
    ["p50", quantile(latency, 0.5)],
    ["p95", quantile(latency, 0.95)],
    ["p99", quantile(latency, 0.99)],
  ];
  return (
    <Section title="Publish to deliver">
      <div className={classes.latency}>
        {latency.count === 0 ? (
          <p className={classes.quiet}>
            Nothing was delivered yet. Start a flowchart and watch it: each event is timed.
          </p>
        ) : (
          <>
            <dl className={classes.marks}>
              {marks.map(([name, ms]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>{milliseconds(ms)}</dd>
                </div>
              ))}
            </dl>
            <Histogram latency={latency} />
            <p className={classes.quiet}>
              Each bar counts deliveries that took up to so many milliseconds, from the commit of an event
              until it is handed to a socket: {plural(latency.count, "delivery", "deliveries")} since the
              workers started.
            </p>
          </>
        )}
      </div>
    </Section>
  );
}

function Histogram({ latency }: { latency: Latency }) {
  const shown = bars(latency);
  return (
    <ol className={classes.bars} aria-label="Deliveries by latency">
      {shown.map((bar, i) => (
        <Tooltip key={bar.label} label={`${bar.label}: ${count(bar.count)}`} openDelay={100}>
          <li aria-label={`${bar.label}: ${count(bar.count)}`}>
            <span className={classes.well}>
              <span
                className={classes.bar}
                data-some={bar.count > 0 || undefined}
                style={{ height: `${bar.share * 100}%` }}
              />
            </span>
            <small aria-hidden>{axis(latency.bounds_ms, i)}</small>
          </li>
        </Tooltip>
      ))}
    </ol>
  );
}

const axis = (bounds: number[], i: number): string => {
  const bound = bounds[i];
  if (bound === undefined) return "more";
  return bound >= 1_000 ? `${bound / 1_000} s` : `${bound}`;
};
