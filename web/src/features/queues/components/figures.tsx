import { IconAlertTriangle, IconPlayerPause } from "@tabler/icons-react";
import type { Queue, QueueList, WorkerList } from "../../../api/aliases";
import { count } from "../../../ui/format";
import { labelOf, rate, totalsOf, workerTroubles } from "../model";
import classes from "../queues.module.css";

function Tile({ label, value, hint, tone }: { label: string; value: string; hint: string; tone?: string }) {
  return (
    <div className={classes.tile}>
      <span>{label}</span>
      <b style={tone ? { color: tone } : undefined}>{value}</b>
      <small>{hint}</small>
    </div>
  );
}

export function Tiles({ queues }: { queues: QueueList }) {
  const { waiting, running, finished, dead } = totalsOf(queues.items);
  const { total, busy } = queues.slots;
  return (
    <div className={classes.tiles}>
      <Tile label="Slots taken" value={`${count(busy)} / ${count(total)}`} hint="of all live workers" />
      <Tile
        label="Waiting"
        value={`${count(waiting)}${queues.items.some((q) => q.waiting_more) ? "+" : ""}`}
        hint={`${count(running)} running`}
      />
      <Tile label="Finished a minute" value={rate(finished)} hint="attempts, over the last minute" />
      <Tile
        label="Dead"
        value={count(dead)}
        hint={dead === 0 ? "nothing failed for good" : "failed for good or could not be worked"}
        {...(dead > 0 && { tone: "var(--st-failed)" })}
      />
    </div>
  );
}

interface NoticesProps {
  queues: Queue[];
  workers: WorkerList | undefined;
}

/** What keeps work waiting, and what to do. */
export function Notices({ queues, workers }: NoticesProps) {
  const troubles = workers ? workerTroubles(workers) : [];
  const held = queues.filter((q) => q.notice !== "");
  if (troubles.length + held.length === 0) return null;
  return (
    <ul className={classes.notices} role="alert">
      {troubles.map((text) => (
        <li key={text}>
          <IconAlertTriangle size={16} color="var(--st-degraded)" aria-hidden />
          <span>{text}</span>
        </li>
      ))}
      {held.map((q) => (
        <li key={q.name}>
          {q.paused ? (
            <IconPlayerPause size={16} color="var(--st-waiting)" aria-hidden />
          ) : (
            <IconAlertTriangle size={16} color="var(--st-failed)" aria-hidden />
          )}
          <span>
            <b>{labelOf(q.name)}:</b> {q.notice}
          </span>
        </li>
      ))}
    </ul>
  );
}
