import { ActionIcon, Tooltip } from "@mantine/core";
import { IconCopy, IconRefresh, IconTrash } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { IndexRun, Source } from "../../../api/aliases";
import { useRoom } from "../../../realtime/provider";
import { count } from "../../../ui/format";
import table from "../../../ui/table.module.css";
import { Ago, useNow } from "../../../ui/time";
import { until } from "../../schedules/model";
import { headlineOfRun, isMoving, kindLabels, lookOfRun, placeOf, todoOf } from "../model";
import classes from "../sources.module.css";
import { type SourceActions, useSourceActions } from "../use-source-actions";
import { Bar } from "./bar";
import { KindIcon, SourceState } from "./marks";

/** Hears of a source's run as it goes; the room of all tells of its beginning and end only. */
function Listen({ id }: { id: number }) {
  useRoom(`rag_source:${id}`);
  return null;
}

const maxListened = 20;

function Now({ run }: { run: IndexRun }) {
  const todo = todoOf(run.counts);
  const known = run.planned_at !== null && todo > 0;
  if (!known) return <span className={table.muted}>{lookOfRun(run).label}</span>;
  const done = run.counts.done + run.counts.failed;
  return (
    <Tooltip label={headlineOfRun(run)}>
      <div className={classes.progress}>
        <Bar
          done={done}
          of={todo}
          label={`Progress of ${run.source_name}`}
          tone={isMoving(run) ? "running" : "waiting"}
        />
        <small>
          {count(done)} of {count(todo)}
        </small>
      </div>
    </Tooltip>
  );
}

function Last({ source }: { source: Source }) {
  if (source.active_run) return <Now run={source.active_run} />;
  const run = source.last_run;
  if (!run) return <span className={table.muted}>Never</span>;
  return (
    <Tooltip label={headlineOfRun(run)}>
      <span className={table.muted}>
        {lookOfRun(run).label} <Ago at={run.finished_at ?? run.created_at} />
      </span>
    </Tooltip>
  );
}

export function NextRun({ source }: { source: Source }) {
  const now = useNow();
  const { schedule } = source;
  if (!schedule) return <span>–</span>;
  if (!schedule.enabled) return <span>Off</span>;
  if (!schedule.next_due_at) return <span>Never again</span>;
  const at = new Date(schedule.next_due_at);
  return (
    <Tooltip label={at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" })}>
      <time dateTime={schedule.next_due_at}>{until(at.getTime(), now)}</time>
    </Tooltip>
  );
}

function RowActions({ source, actions }: { source: Source; actions: SourceActions }) {
  return (
    <div className={table.actions}>
      <Tooltip label={source.active_run ? "It is being indexed" : "Index what has changed"}>
        <ActionIcon
          aria-label={`Index ${source.name}`}
          disabled={source.active_run !== null || actions.index.isPending}
          onClick={() => actions.index.mutate({ source: source.id, mode: "delta" })}
        >
          <IconRefresh size={16} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Duplicate">
        <ActionIcon
          renderRoot={(props) => <Link to="/sources/new" search={{ from: source.id }} {...props} />}
          aria-label={`Duplicate ${source.name}`}
        >
          <IconCopy size={16} />
        </ActionIcon>
      </Tooltip>
      <Tooltip label="Delete">
        <ActionIcon aria-label={`Delete ${source.name}`} onClick={() => actions.remove.mutate(source)}>
          <IconTrash size={16} />
        </ActionIcon>
      </Tooltip>
    </div>
  );
}

function Row({ source, actions }: { source: Source; actions: SourceActions | null }) {
  return (
    <tr className={table.row}>
      <td className={classes.kindCell}>
        <Tooltip label={kindLabels[source.kind]}>
          <span className={table.above}>
            <KindIcon kind={source.kind} />
          </span>
        </Tooltip>
      </td>
      <td className={table.clip} style={{ width: "38%" }}>
        <Link className={table.link} to="/sources/$sourceId" params={{ sourceId: String(source.id) }}>
          {source.name}
        </Link>
        <div className={table.sub} title={source.error?.message ?? placeOf(source)}>
          {source.error && !source.active_run ? source.error.message : placeOf(source)}
        </div>
      </td>
      <td>
        <SourceState source={source} />
      </td>
      <td className={table.number}>{source.index ? count(source.index.files) : "–"}</td>
      <td className={`${table.number} ${classes.wide}`}>{source.index ? count(source.index.chunks) : "–"}</td>
      <td className={classes.progressCell}>
        <Last source={source} />
      </td>
      <td className={`${table.muted} ${classes.wide}`}>
        <NextRun source={source} />
      </td>
      <td>{actions && <RowActions source={source} actions={actions} />}</td>
    </tr>
  );
}

export function SourceTable({ items, writes }: { items: Source[]; writes: boolean }) {
  const actions = useSourceActions();
  const gone = actions.remove.isPending ? actions.remove.variables.id : null;
  const shown = items.filter((s) => s.id !== gone);
  return (
    <>
      {shown
        .filter((s) => s.active_run)
        .slice(0, maxListened)
        .map((s) => (
          <Listen key={s.id} id={s.id} />
        ))}
      <table className={table.table}>
        <thead>
          <tr>
            <th aria-label="Kind" />
            <th>Name</th>
            <th>Status</th>
            <th className={table.number}>Files</th>
            <th className={`${table.number} ${classes.wide}`}>Chunks</th>
            <th>Last run</th>
            <th className={classes.wide}>Next</th>
            <th aria-label="Actions" />
          </tr>
        </thead>
        <tbody>
          {shown.map((s) => (
            <Row key={s.id} source={s} actions={writes ? actions : null} />
          ))}
        </tbody>
      </table>
    </>
  );
}
