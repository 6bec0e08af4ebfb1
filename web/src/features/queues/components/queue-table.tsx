import { ActionIcon, Tooltip } from "@mantine/core";
import {
  IconAlertTriangle,
  IconCircleCheck,
  IconCircleDashed,
  IconLoader2,
  IconPlayerPause,
  IconPlayerPlay,
  type TablerIcon,
} from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Queue, QueueTimes } from "../../../api/aliases";
import { Buckets, Sparkline } from "../../../ui/charts";
import { count } from "../../../ui/format";
import { notifyError } from "../../../ui/notices";
import { Section } from "../../../ui/page";
import table from "../../../ui/table.module.css";
import { queueKeys, steerQueue } from "../api";
import { labelOf, lookOfQueue, type QueueLook, rate, seconds, timesText, trimmed } from "../model";
import classes from "../queues.module.css";

const icons: Record<QueueLook["kind"], TablerIcon> = {
  paused: IconPlayerPause,
  stuck: IconAlertTriangle,
  working: IconLoader2,
  idle: IconCircleCheck,
  unserved: IconCircleDashed,
};

export function Look({ look, hint }: { look: QueueLook; hint: string }) {
  const Icon = icons[look.kind];
  return (
    <Tooltip label={hint} disabled={hint === ""} multiline maw={360}>
      <span className={classes.state} style={{ color: look.color }}>
        <Icon size={15} aria-hidden />
        {look.label}
      </span>
    </Tooltip>
  );
}

export function QueueState({ queue }: { queue: Queue }) {
  const hint = queue.paused
    ? `Since ${new Date(queue.paused.since).toLocaleString()}${queue.paused.by ? `, by ${queue.paused.by}` : ""}`
    : queue.notice;
  return <Look look={lookOfQueue(queue)} hint={hint} />;
}

export function PauseButton({ queue }: { queue: Queue }) {
  const cache = useQueryClient();
  const verb = queue.paused ? "resume" : "pause";
  const act = useMutation({
    mutationFn: () => steerQueue(queue.name, verb),
    onError: (error) => notifyError(`The queue was not ${verb === "pause" ? "paused" : "resumed"}`, error),
    onSettled: () => cache.invalidateQueries({ queryKey: queueKeys.all }),
  });
  const label = `${verb === "pause" ? "Pause" : "Resume"} ${labelOf(queue.name)}`;
  return (
    <Tooltip label={verb === "pause" ? "Pause: what runs goes on, nothing new is taken" : "Resume"}>
      <ActionIcon aria-label={label} loading={act.isPending} onClick={() => act.mutate()}>
        {verb === "pause" ? <IconPlayerPause size={16} /> : <IconPlayerPlay size={16} />}
      </ActionIcon>
    </Tooltip>
  );
}

export function Times({ what, times }: { what: string; times: QueueTimes }) {
  if (times.count === 0) return <span className={table.muted}>–</span>;
  return (
    <Tooltip label={timesText(what, times)} multiline maw={300}>
      <div className={classes.times}>
        <Buckets counts={trimmed(times.counts)} label={timesText(what, times)} />
        <small>
          {seconds(times.p50_seconds)} <span>p95</span> {seconds(times.p95_seconds)}
        </small>
      </div>
    </Tooltip>
  );
}

type Flows = Pick<Queue, "history" | "enqueued_per_minute" | "finished_per_minute">;

export function Flow({ name, of }: { name: string; of: Flows }) {
  const { history, enqueued_per_minute: ins, finished_per_minute: outs } = of;
  return (
    <>
      <Sparkline
        label={`${name}, the last hour by minute: ${rate(ins.m60)} a minute in, ${rate(outs.m60)} out`}
        lines={[
          { values: history.enqueued, color: "var(--st-cached)" },
          { values: history.finished, color: "var(--st-succeeded)" },
        ]}
      />
      <small>
        <i className={classes.in} /> {rate(ins.m5)} in <i className={classes.out} /> {rate(outs.m5)} out
      </small>
    </>
  );
}

function Row({ queue, manages }: { queue: Queue; manages: boolean }) {
  return (
    <tr className={table.row}>
      <td>
        <Link
          to="/queues"
          search={(s) => ({ ...s, queue: queue.name })}
          resetScroll={false}
          className={table.link}
        >
          {labelOf(queue.name)}
        </Link>
        <div className={`${table.sub} ${classes.name}`}>
          <code>{queue.name}</code>
        </div>
      </td>
      <td>
        <QueueState queue={queue} />
      </td>
      <td className={table.number}>
        {count(queue.waiting)}
        {queue.waiting_more && "+"}
        {queue.waiting_seconds !== null && (
          <div className={table.sub}>oldest {seconds(Math.round(queue.waiting_seconds))}</div>
        )}
        {queue.scheduled > 0 && <div className={table.sub}>{count(queue.scheduled)} later</div>}
      </td>
      <td className={table.number}>
        {count(queue.running)}
        <div className={table.sub}>
          {queue.consumers === 0
            ? "no worker"
            : `${count(queue.slots)} slots, ${queue.consumers} worker${queue.consumers === 1 ? "" : "s"}`}
        </div>
      </td>
      <td className={classes.flow}>
        <Flow name={labelOf(queue.name)} of={queue} />
      </td>
      <td className={classes.roomy}>
        <Times what="Waiting" times={queue.waited} />
      </td>
      <td className={classes.roomy}>
        <Times what="Running" times={queue.took} />
      </td>
      <td className={table.number}>
        {queue.dead === 0 ? (
          <span className={table.muted}>0</span>
        ) : (
          <Link
            className={table.above}
            to="/queues"
            search={(s) => ({ ...s, dead: queue.name })}
            hash="dead"
            aria-label={`${queue.dead} dead of ${labelOf(queue.name)}`}
          >
            {count(queue.dead)}
          </Link>
        )}
      </td>
      {manages && (
        <td>
          <div className={table.actions}>
            <PauseButton queue={queue} />
          </div>
        </td>
      )}
    </tr>
  );
}

interface TableProps {
  queues: Queue[];
  manages: boolean;
  /** Rows below them. */
  children?: ReactNode;
}

export function QueueTable({ queues, manages, children }: TableProps) {
  return (
    <Section title="Queues">
      <div className={classes.wide}>
        <table className={table.table}>
          <thead>
            <tr>
              <th>Queue</th>
              <th>State</th>
              <th className={table.number}>Waiting</th>
              <th className={table.number}>Running</th>
              <th>In and out a minute</th>
              <th className={classes.roomy}>Wait</th>
              <th className={classes.roomy}>Run</th>
              <th className={table.number}>Dead</th>
              {manages && <th aria-label="Actions" />}
            </tr>
          </thead>
          <tbody>
            {queues.map((queue) => (
              <Row key={queue.name} queue={queue} manages={manages} />
            ))}
            {children}
          </tbody>
        </table>
      </div>
    </Section>
  );
}
