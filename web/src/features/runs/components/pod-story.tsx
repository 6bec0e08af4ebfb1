import { Button } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { Attempt, Envelope, NodeTask } from "../../../api/aliases";
import { CopyButton, ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { useNow } from "../../../ui/time";
import { podLogQuery } from "../api";
import { adoptionsOf, adviceOf, dispatchOf, type Job, jobOf, kubectlOf, podLogOf } from "../pods";
import { clock } from "../story";
import { Follow } from "./follow";
import panel from "./panel.module.css";
import classes from "./pods.module.css";

/** What to do about a failure, with the ways to where it is done. */
export function WhatToDo({ code, flowchartId }: { code: string; flowchartId: number | null }) {
  const found = adviceOf(code);
  if (!found) return null;
  const { text, where } = found;
  return (
    <p className={classes.advice}>
      {text}{" "}
      {flowchartId !== null && (where === "node" || where === "both") && (
        <Link
          to="/flowcharts/$flowchartId"
          params={{ flowchartId: String(flowchartId) }}
          className={panel.link}
        >
          Open the flowchart
        </Link>
      )}
      {flowchartId !== null && where === "both" && " · "}
      {(where === "settings" || where === "both") && (
        <Link to="/settings/node-executor" className={panel.link}>
          Settings of the node executor
        </Link>
      )}
    </p>
  );
}

/** In one line where an attempt stands on its way through its pod. */
export function DispatchLine({ attempt }: { attempt: Attempt }) {
  const state = dispatchOf(attempt);
  if (!state) return null;
  return (
    <p className={classes.state} data-tone={state.tone}>
      <b>{state.label}</b> <span>{state.text}</span>
    </p>
  );
}

function JobLines({ job }: { job: Job }) {
  const command = kubectlOf(job);
  return (
    <dl className={classes.job}>
      <dt>Job</dt>
      <dd>
        <code>{job.name}</code>
        <CopyButton text={job.name} label="Copy the Job's name" />
        <span>in {job.namespace}</span>
      </dd>
      <dt>Look at it</dt>
      <dd>
        <code>{command}</code>
        <CopyButton text={command} label="Copy the command" />
      </dd>
    </dl>
  );
}

// The last lines come after the attempt's end, at most this much later.
const logTailMs = 60_000;

function useLive(a: Attempt): boolean {
  const open = a.finished_at === null;
  const now = useNow(open);
  return open || now - Date.parse(a.finished_at ?? "") < logTailMs;
}

function LogText({ nodeRunId, attempt }: { nodeRunId: number; attempt: Attempt }) {
  const live = useLive(attempt);
  const pieces = useQuery(podLogQuery(nodeRunId, attempt.number, live));
  if (pieces.isError && !pieces.data)
    return <ErrorNotice error={pieces.error} onRetry={() => void pieces.refetch()} />;
  if (!pieces.data) return <Lines n={3} height={20} />;
  const log = podLogOf(pieces.data);
  if (log.lines === 0)
    return (
      <p className={panel.quiet}>
        {live
          ? "The pod has written nothing yet."
          : "Nothing is kept: the pod wrote nothing, or its log was removed by age."}
      </p>
    );
  return (
    <div className={classes.log}>
      <Follow size={log.text.length} live={live}>
        <pre>{log.text}</pre>
      </Follow>
      <p className={classes.logEnd}>
        {count(log.lines)} {log.lines === 1 ? "line" : "lines"}
        {live && !log.cut && ", more as the pod writes"}
        {log.cut && <b>{log.cut}</b>}
      </p>
    </div>
  );
}

function PodLogFold({ nodeRunId, attempt }: { nodeRunId: number; attempt: Attempt }) {
  const [open, setOpen] = useState(false);
  const Chevron = open ? IconChevronDown : IconChevronRight;
  return (
    <>
      <Button
        variant="subtle"
        size="compact-xs"
        leftSection={<Chevron size={14} />}
        aria-expanded={open}
        onClick={() => setOpen(!open)}
      >
        Log of the pod
      </Button>
      {open && <LogText nodeRunId={nodeRunId} attempt={attempt} />}
    </>
  );
}

interface Props {
  task: NodeTask;
  attempt: Attempt;
  events: readonly Envelope[];
}

/** An attempt in a pod: how it got there, who watched it, why it ended, and what it wrote. */
export function PodStory({ task, attempt, events }: Props) {
  const job = jobOf(attempt.pod?.dispatch_id ?? null);
  const adopted = adoptionsOf(events, task.id, attempt.number);
  return (
    <div className={classes.pod}>
      {attempt.error && (
        <div className={classes.reason}>
          <div>{attempt.error.message}</div>
          {task.flowchart_id !== null && (
            <WhatToDo code={attempt.error.code} flowchartId={task.flowchart_id} />
          )}
        </div>
      )}
      <DispatchLine attempt={attempt} />
      {adopted.map((at) => (
        <p key={at} className={classes.adopted}>
          Its worker went away; another took it over at {clock(at)}. The pod went on meanwhile.
        </p>
      ))}
      {job && <JobLines job={job} />}
      {attempt.pod?.uid && <PodLogFold nodeRunId={task.id} attempt={attempt} />}
    </div>
  );
}
