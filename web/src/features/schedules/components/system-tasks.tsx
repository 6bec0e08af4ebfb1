import { Tooltip } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";
import type { Schedules, SystemTask } from "../../../api/aliases";
import { Section } from "../../../ui/page";
import { Status } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago, useNow } from "../../../ui/time";
import { everyWords, lookOfTask, taskWords, troubleOf, until } from "../model";
import classes from "../schedules.module.css";

type Part = Pick<Schedules, "system" | "schedulers">;

/** Says that nothing is fired, and what to do. */
export function Trouble({ system, schedulers }: Part) {
  const trouble = troubleOf(schedulers.length, system, useNow());
  if (!trouble) return null;
  return (
    <div role="alert" className={classes.trouble}>
      <IconAlertTriangle size={18} aria-hidden />
      <div>{trouble}</div>
    </div>
  );
}

function NextTime({ task }: { task: SystemTask }) {
  const now = useNow();
  if (!task.next_at) return <span>by workers</span>;
  return <time dateTime={task.next_at}>{until(Date.parse(task.next_at), now)}</time>;
}

function Row({ task }: { task: SystemTask }) {
  const words = taskWords(task);
  return (
    <tr>
      <td className={table.clip}>
        {words.label}
        {task.host && ` on ${task.host}`}
        <div className={table.sub}>{words.purpose}</div>
      </td>
      <td className={table.muted}>{everyWords(task.period_seconds)}</td>
      <td className={table.muted}>
        <NextTime task={task} />
      </td>
      <td className={table.muted}>
        <Ago at={task.finished_at} />
      </td>
      <td className={table.muted}>
        <Tooltip label={task.error} disabled={!task.error} multiline maw={420}>
          <span>
            <Status status={lookOfTask(task)} />
          </span>
        </Tooltip>
      </td>
    </tr>
  );
}

const shownSchedulers = 4;

/** The system's own periodic work, and who does it. */
export function SystemTasks({ system, schedulers }: Part) {
  const names = schedulers.slice(0, shownSchedulers).map((s) => `${s.hostname} (process ${s.pid})`);
  if (schedulers.length > shownSchedulers) names.push(`${schedulers.length - shownSchedulers} more`);
  return (
    <Section
      title="System tasks"
      actions={
        <span className={classes.schedulers}>
          {schedulers.length === 0 ? "No scheduler" : `Schedulers: ${names.join(", ")}`}
        </span>
      }
    >
      <table className={table.table}>
        <thead>
          <tr>
            <th>Task</th>
            <th>Period</th>
            <th>Next</th>
            <th>Last</th>
            <th>Outcome</th>
          </tr>
        </thead>
        <tbody>
          {system.map((t) => (
            <Row key={`${t.name} ${t.host}`} task={t} />
          ))}
        </tbody>
      </table>
    </Section>
  );
}
