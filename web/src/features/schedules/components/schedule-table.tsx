import { ActionIcon, Tooltip } from "@mantine/core";
import { IconPlayerPlay, IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import type { Schedule } from "../../../api/aliases";
import { Switch } from "../../../ui/inputs";
import { notifyError, notifyUndo } from "../../../ui/notices";
import { StatusIcon } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago, useNow } from "../../../ui/time";
import { deleteSchedule, fireSchedule, restoreSchedule, updateSchedule } from "../api";
import { scheduleKeys } from "../keys";
import { lookOfFiring, startsWords, until, wordsOfFiring } from "../model";
import classes from "../schedules.module.css";

export function useScheduleActions() {
  const cache = useQueryClient();
  const navigate = useNavigate();
  const refresh = () => cache.invalidateQueries({ queryKey: scheduleKeys.all });
  const restore = useMutation({
    mutationFn: restoreSchedule,
    onError: (e) => notifyError("The schedule was not restored", e),
    onSettled: refresh,
  });
  const remove = useMutation({
    mutationFn: (s: Schedule) => deleteSchedule(s.id),
    onSuccess: (_, s) => notifyUndo(`“${s.name}” was deleted.`, () => restore.mutate(s.id)),
    onError: (e) => notifyError("The schedule was not deleted", e),
    onSettled: refresh,
  });
  const toggle = useMutation({
    mutationFn: (s: Schedule) => updateSchedule(s.id, { enabled: !s.enabled }),
    onError: (e) => notifyError("The schedule was not changed", e),
    onSettled: refresh,
  });
  const fire = useMutation({
    mutationFn: (s: Schedule) => fireSchedule(s.id),
    onSuccess: ({ flowchart_run }) =>
      void navigate({ to: "/runs/$runId", params: { runId: String(flowchart_run.id) } }),
    onError: (e) => notifyError("The run was not started", e),
    onSettled: refresh,
  });
  return { remove, toggle, fire };
}

export function Next({ schedule }: { schedule: Schedule }) {
  const now = useNow();
  const next = schedule.next_firings[0];
  if (!schedule.enabled) return <span>Off</span>;
  if (!next) return <span>Never again</span>;
  const at = new Date(next);
  return (
    <Tooltip label={at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" })}>
      <time dateTime={next}>{until(at.getTime(), now)}</time>
    </Tooltip>
  );
}

function Last({ schedule }: { schedule: Schedule }) {
  const f = schedule.last_firing;
  if (!f) return <span>Never</span>;
  const shown = (
    <>
      <StatusIcon status={lookOfFiring(f)} size={15} /> {wordsOfFiring(f)} <Ago at={f.fired_at} />
    </>
  );
  if (f.node_run_id)
    return (
      <Link
        className={`${table.above} ${classes.outcome}`}
        to="/nodes/$nodeId"
        params={{ nodeId: String(f.node_run_id) }}
      >
        {shown}
      </Link>
    );
  if (!f.flowchart_run_id)
    return (
      <Tooltip label={f.message || wordsOfFiring(f)} multiline maw={360}>
        <span className={`${table.above} ${classes.outcome}`}>{shown}</span>
      </Tooltip>
    );
  return (
    <Link
      className={`${table.above} ${classes.outcome}`}
      to="/runs/$runId"
      params={{ runId: String(f.flowchart_run_id) }}
    >
      {shown}
    </Link>
  );
}

function Row({
  schedule: s,
  actions,
}: {
  schedule: Schedule;
  actions: ReturnType<typeof useScheduleActions>;
}) {
  return (
    <tr className={table.row}>
      <td className={table.above}>
        <Switch
          aria-label={`${s.name} fires`}
          checked={actions.toggle.isPending && actions.toggle.variables.id === s.id ? !s.enabled : s.enabled}
          onChange={() => actions.toggle.mutate(s)}
        />
      </td>
      <td className={table.clip} style={{ width: "30%" }}>
        <Link className={table.link} to="/schedules/$scheduleId" params={{ scheduleId: String(s.id) }}>
          {s.name}
        </Link>
        <div className={table.sub}>
          {startsWords(s)}
          {s.flowchart_deleted ? " (deleted)" : ""}
        </div>
      </td>
      <td className={table.clip} style={{ width: "30%" }}>
        {s.description}
        <div className={table.sub}>
          {s.cron ? (
            <>
              <span className={classes.cron}>{s.cron}</span> · {s.time_zone}
            </>
          ) : (
            "an interval"
          )}
        </div>
      </td>
      <td className={table.muted}>
        <Next schedule={s} />
      </td>
      <td className={table.muted}>
        <Last schedule={s} />
      </td>
      <td>
        <div className={table.actions}>
          {s.rag_source_id === null && (
            <Tooltip label="Run now">
              <ActionIcon
                aria-label={`Run ${s.name} now`}
                onClick={() => actions.fire.mutate(s)}
                disabled={actions.fire.isPending}
              >
                <IconPlayerPlay size={16} />
              </ActionIcon>
            </Tooltip>
          )}
          <Tooltip label="Delete">
            <ActionIcon aria-label={`Delete ${s.name}`} onClick={() => actions.remove.mutate(s)}>
              <IconTrash size={16} />
            </ActionIcon>
          </Tooltip>
        </div>
      </td>
    </tr>
  );
}

export function ScheduleTable({ items }: { items: Schedule[] }) {
  const actions = useScheduleActions();
  const gone = actions.remove.isPending ? actions.remove.variables.id : null;
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th aria-label="On or off" />
          <th>Name</th>
          <th>When</th>
          <th>Next</th>
          <th>Last</th>
          <th aria-label="Actions" />
        </tr>
      </thead>
      <tbody>
        {items
          .filter((s) => s.id !== gone)
          .map((s) => (
            <Row key={s.id} schedule={s} actions={actions} />
          ))}
      </tbody>
    </table>
  );
}
