import { useQuery } from "@tanstack/react-query";
import { Fragment } from "react";
import type { Envelope, NodeTask } from "../../../api/aliases";
import { duration } from "../../../ui/format";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Elapsed } from "../../../ui/time";
import { eventsQuery, quickEventsQuery } from "../api";
import { countsOf, endOf, holder } from "../story";
import classes from "./panel.module.css";
import { PodStory } from "./pod-story";

const between = (from: string | null, to: string | null): string =>
  from && to ? duration(Date.parse(to) - Date.parse(from)) : "–";

function nothing(task: NodeTask): string {
  if (task.reused_from !== null) return "It took no attempt: the result of an earlier run is reused.";
  if (task.cancellation) return "No worker had taken it when it was cancelled.";
  return "No worker has taken it yet.";
}

export function Attempts({ task }: { task: NodeTask }) {
  const { attempts } = task;
  const runId = task.flowchart_run_id;
  const query = runId === null ? quickEventsQuery(task.id) : eventsQuery(runId);
  // Who took an attempt in a pod over is only in the events.
  const events = useQuery({
    ...query,
    enabled: attempts.some((a) => a.pod !== null),
  });
  if (attempts.length === 0) return <p className={classes.quiet}>{nothing(task)}</p>;
  return (
    <>
      {countsOf(task).map((line) => (
        <p key={line} className={classes.quiet}>
          {line}
        </p>
      ))}
      <AttemptTable task={task} events={events.data ?? []} />
    </>
  );
}

function AttemptTable({ task, events }: { task: NodeTask; events: readonly Envelope[] }) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Attempt</th>
          <th>Status</th>
          <th className={table.number}>Waited</th>
          <th className={table.number}>First token</th>
          <th className={table.number}>Took</th>
          <th>Executor</th>
          <th>Stages</th>
        </tr>
      </thead>
      <tbody>
        {task.attempts.map((a) => (
          <Fragment key={a.number}>
            <tr>
              <td>{a.number}</td>
              <td>
                <Status status={a.status} />
                {a.error && !a.pod && <div className={classes.attemptError}>{a.error.message}</div>}
              </td>
              <td className={table.number}>{between(a.queued_at, a.claimed_at ?? a.started_at)}</td>
              <td className={table.number}>{between(a.started_at, a.first_token_at)}</td>
              <td className={table.number}>
                <Elapsed from={a.started_at} to={a.finished_at} />
              </td>
              <td className={table.muted}>{a.executor || "–"}</td>
              <td className={classes.stages}>
                {a.stages
                  .filter((s) => s.started_at)
                  .map((s) => `${s.label} ${between(s.started_at, s.finished_at)}`)
                  .join(" · ") || "–"}
              </td>
            </tr>
            <tr>
              <td />
              <td colSpan={6} className={classes.story}>
                {endOf(a)} {a.pod ? "Watched" : "Held"} by {holder(a)}.
                {a.pod && <PodStory task={task} attempt={a} events={events} />}
              </td>
            </tr>
          </Fragment>
        ))}
      </tbody>
    </table>
  );
}
