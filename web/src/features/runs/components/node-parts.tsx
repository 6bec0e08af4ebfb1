// What a node run gave, logged and went through, whether or not it belongs to a run.

import { useQuery } from "@tanstack/react-query";
import { isObject, type Json, type LogItem, type NodeRun } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { duration } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { artifactsQuery, type eventsQuery } from "../api";
import { isFinalNode, streamedText } from "../model";
import { Follow } from "./follow";
import { Artifacts, LargeOutput } from "./large-output";
import classes from "./panel.module.css";
import { WhatToDo } from "./pod-story";

const textIn = (output: Json): string | null =>
  isObject(output) && typeof output.text === "string" ? output.text : null;

function RunFailure({ run, flowchartId }: { run: NodeRun; flowchartId: number | null }) {
  if (!run.error) return null;
  return (
    <div className={classes.failure} role="alert">
      <div>{run.error.message}</div>
      <small>
        {run.error.code}
        {run.error.retryable ? ", worth trying again" : ""}
      </small>
      <WhatToDo code={run.error.code} flowchartId={flowchartId} />
      {run.error.details !== undefined && run.error.details !== null && (
        <JsonView value={run.error.details} empty="" />
      )}
    </div>
  );
}

interface OutputProps {
  run: NodeRun;
  flowchartId: number | null;
  logs: LogItem[];
  note: React.ReactNode;
}

export function NodeOutput({ run, flowchartId, logs, note }: OutputProps) {
  const artifacts = useQuery(artifactsQuery(run.id));
  if (run.output_omitted) {
    return (
      <Follow size={0} live={false}>
        {note}
        <RunFailure run={run} flowchartId={flowchartId} />
        <Artifacts items={artifacts.data ?? []} />
        <LargeOutput id={run.id} size={run.output_bytes ?? 0} />
      </Follow>
    );
  }
  const live = !isFinalNode(run.status);
  const text =
    textIn(run.output_state) ?? (run.output_state === null ? streamedText(logs, run.attempt) : null);
  const nothing = live ? "No output yet." : "It gave no output.";
  const hasJson =
    typeof run.output_state === "object" && run.output_state !== null && "json" in run.output_state;
  return (
    <Follow size={text?.length ?? 0} live={live}>
      {note}
      <RunFailure run={run} flowchartId={flowchartId} />
      {artifacts.isError && <ErrorNotice error={artifacts.error} onRetry={() => void artifacts.refetch()} />}
      <Artifacts items={artifacts.data ?? []} />
      {text !== null && text !== "" ? (
        <div className={classes.streamed} data-live={live || undefined} aria-live="off">
          {text}
        </div>
      ) : (
        <JsonView
          value={text === "" && run.output_state === null ? null : run.output_state}
          empty={nothing}
        />
      )}
      {text && hasJson && <JsonView value={run.output_state} empty="" />}
    </Follow>
  );
}

export function NodeLogs({ run, from, logs }: { run: NodeRun; from: string | null; logs: LogItem[] }) {
  const lines = logs.filter((item) => item.type === "log");
  const start = Date.parse(from ?? run.created_at);
  return (
    <Follow size={lines.length} live={!isFinalNode(run.status)}>
      {lines.length === 0 && (
        <p className={classes.quiet}>Nothing was logged{isFinalNode(run.status) ? "." : " yet."}</p>
      )}
      <div className={classes.logs}>
        {lines.map((line) => (
          <div key={line.sequence}>
            <time title={line.emitted_at}>+{duration(Date.parse(line.emitted_at) - start)}</time>
            <i>{line.stage}</i>
            <span>{line.text.replace(/\n$/, "")}</span>
          </div>
        ))}
      </div>
    </Follow>
  );
}

interface EventsProps {
  run: NodeRun;
  /** The events of the stream that has those of the node run. */
  query: ReturnType<typeof eventsQuery>;
  from: string;
}

export function NodeEvents({ run, query, from }: EventsProps) {
  const events = useQuery(query);
  if (events.isError) return <ErrorNotice error={events.error} onRetry={() => void events.refetch()} />;
  if (events.isPending) return <Lines n={4} height={24} />;
  const mine = events.data.filter((e) => e.entity_kind === "task" && e.entity_id === String(run.id));
  const start = Date.parse(from);
  return (
    <Follow size={mine.length} live={!isFinalNode(run.status)}>
      {mine.length === 0 && <p className={classes.quiet}>No events yet.</p>}
      <div className={classes.logs}>
        {mine.map((e) => (
          <details key={e.sequence}>
            <summary>
              <time title={e.emitted_at}>+{duration(Date.parse(e.emitted_at) - start)}</time>
              <i>{e.event_type}</i>
              <span>
                {typeof e.payload.transition === "string"
                  ? e.payload.transition
                  : String(e.payload.status ?? "")}
              </span>
            </summary>
            <JsonView value={e.payload} empty="" />
          </details>
        ))}
      </div>
    </Follow>
  );
}
