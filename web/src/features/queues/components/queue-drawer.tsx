import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { QueueDetail, QueueJob } from "../../../api/aliases";
import { HeatMap } from "../../../ui/charts";
import { Drawer } from "../../../ui/dialogs";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { SegmentedControl } from "../../../ui/inputs";
import { ShowMore } from "../../../ui/show-more";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { jobsQuery, queueQuery } from "../api";
import type { JobState } from "../job-states";
import { bucketNames, labelOf, rate, timesText } from "../model";
import classes from "../queues.module.css";
import { QueueState } from "./queue-table";

function Heats({ queue }: { queue: QueueDetail }) {
  const buckets = bucketNames(queue.bounds_seconds);
  const time = { buckets, from: "an hour ago", to: "now" };
  return (
    <>
      <h3 className={classes.heading}>How long jobs wait</h3>
      <HeatMap {...time} rows={queue.heat.waited} label={timesText("Waiting", queue.waited)} />
      <p className={classes.quiet}>{timesText("Waiting", queue.waited)}.</p>
      <h3 className={classes.heading}>How long they run</h3>
      <HeatMap
        {...time}
        rows={queue.heat.took}
        label={timesText("Running", queue.took)}
        color="var(--st-succeeded)"
      />
      <p className={classes.quiet}>{timesText("Running", queue.took)}.</p>
    </>
  );
}

function JobRow({ job, state }: { job: QueueJob; state: JobState }) {
  const target = job.target;
  const name = target?.title || target?.node_kind || job.kind;
  return (
    <tr>
      <td>
        {target?.kind === "download" ? (
          <Link to="/downloads/$downloadId" params={{ downloadId: String(target.id) }}>
            {name}
          </Link>
        ) : target?.flowchart_run_id ? (
          <Link
            to="/runs/$runId"
            params={{ runId: String(target.flowchart_run_id) }}
            search={{ node: target.id }}
          >
            {name}
          </Link>
        ) : target?.kind === "node_run" ? (
          <Link to="/nodes/$nodeId" params={{ nodeId: String(target.id) }}>
            {name}
          </Link>
        ) : (
          name
        )}
        <div className={table.sub}>
          {target
            ? target.flowchart_name || (target.kind === "download" ? target.status : target.kind)
            : `${job.kind} ${job.id}: what it points at is gone`}
        </div>
      </td>
      <td className={table.muted}>
        <Ago at={job.due_at} />
      </td>
      <td className={table.muted}>{state === "running" ? job.worker : `${count(job.attempt)} before`}</td>
    </tr>
  );
}

const titles: Record<JobState, string> = { waiting: "Waiting", scheduled: "Later", running: "Running" };
const dues: Record<JobState, string> = { waiting: "Due", scheduled: "Due", running: "Begun" };

function Jobs({ name, state }: { name: string; state: JobState }) {
  const jobs = useInfiniteQuery(jobsQuery(name, state));
  const items = jobs.data?.pages.flatMap((p) => p.items) ?? [];
  if (jobs.isError) return <ErrorNotice error={jobs.error} onRetry={() => void jobs.refetch()} />;
  if (jobs.isPending) return <Lines n={3} height={44} />;
  if (items.length === 0) return <p className={classes.quiet}>None.</p>;
  return (
    <>
      <table className={table.table}>
        <thead>
          <tr>
            <th>What</th>
            <th>{dues[state]}</th>
            <th>{state === "running" ? "Worker" : "Attempts"}</th>
          </tr>
        </thead>
        <tbody>
          {items.map((job) => (
            <JobRow key={job.id} job={job} state={state} />
          ))}
        </tbody>
      </table>
      <ShowMore list={jobs} />
    </>
  );
}

interface Props {
  name: string;
  state: JobState;
  onState: (next: JobState) => void;
  onClose: () => void;
}

export function QueueDrawer({ name, state, onState, onClose }: Props) {
  const detail = useQuery(queueQuery(name));
  const queue = detail.data;
  const numbers: Record<JobState, number> = {
    waiting: queue?.waiting ?? 0,
    scheduled: queue?.scheduled ?? 0,
    running: queue?.running ?? 0,
  };
  return (
    <Drawer opened onClose={onClose} position="right" size={560} title={labelOf(name)}>
      {detail.isError && <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />}
      {detail.isPending && <Lines n={6} />}
      {queue && (
        <>
          <div className={classes.drawerHead}>
            <code>{queue.name}</code>
            <QueueState queue={queue} />
          </div>
          {queue.notice && <p className={classes.notice}>{queue.notice}</p>}
          <p className={classes.quiet}>
            {rate(queue.enqueued_per_minute.m1)} in and {rate(queue.finished_per_minute.m1)} out over the last
            minute; {rate(queue.enqueued_per_minute.m60)} and {rate(queue.finished_per_minute.m60)} a minute
            over the last hour.
          </p>
          <Heats queue={queue} />
          <h3 className={classes.heading}>Jobs</h3>
          <SegmentedControl
            size="xs"
            mb="xs"
            value={state}
            onChange={(value) => onState(value as JobState)}
            data={Object.entries(titles).map(([value, label]) => ({
              value,
              label: `${label} ${count(numbers[value as JobState])}`,
            }))}
          />
          <Jobs name={name} state={state} />
        </>
      )}
    </Drawer>
  );
}
