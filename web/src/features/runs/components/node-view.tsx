import "@mantine/core/styles/Tabs.css";
import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { LogItem, NodeDetail, NodeTask, Stage } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { count, duration } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { Status, StatusIcon } from "../../../ui/status";
import { Elapsed } from "../../../ui/time";
import { logsQuery } from "../api";
import { isFinalNode } from "../model";
import { Attempts } from "./attempts";
import { Follow } from "./follow";
import { LargeOutput } from "./large-output";
import classes from "./node-view.module.css";
import panel from "./panel.module.css";

/** Its stages as the server names them: what a stage is called depends on what the node does. */
function Stages({ stages, live }: { stages: Stage[]; live: boolean }) {
  return (
    <ol className={classes.stages} aria-label="Stages">
      {stages.map((s) => (
        <li key={s.key} data-status={s.status}>
          <StatusIcon status={s.status} size={15} />
          <b>{s.label}</b>
          <span>
            <Elapsed from={s.started_at} to={s.finished_at} open={live} />
          </span>
          <small>{s.log_lines > 0 ? `${count(s.log_lines)} lines` : ""}</small>
        </li>
      ))}
    </ol>
  );
}

function Lines({ task, stages, logs }: { task: NodeTask; stages: Stage[]; logs: LogItem[] }) {
  const lines = logs.filter((item) => item.type === "log");
  const start = Date.parse(task.started_at ?? task.created_at);
  const labels = new Map(stages.map((s) => [s.key, s.label]));
  return (
    <Follow size={lines.length} live={!isFinalNode(task.status)}>
      {lines.length === 0 && (
        <p className={panel.quiet}>Nothing was logged{isFinalNode(task.status) ? "." : " yet."}</p>
      )}
      <div className={panel.logs}>
        {lines.map((line) => (
          <div key={line.sequence}>
            <time title={line.emitted_at}>+{duration(Date.parse(line.emitted_at) - start)}</time>
            <i>{labels.get(line.stage) ?? line.stage}</i>
            <span>{line.text.replace(/\n$/, "")}</span>
          </div>
        ))}
      </div>
    </Follow>
  );
}

function Output({ task }: { task: NodeTask }) {
  if (task.output_omitted) return <LargeOutput id={task.id} size={task.output_bytes ?? 0} />;
  return (
    <JsonView
      value={task.output_state}
      empty={isFinalNode(task.status) ? "It gave no output." : "No output yet."}
    />
  );
}

function Facts({ task }: { task: NodeTask }) {
  return (
    <div className={classes.facts}>
      <Status status={task.status} />
      <span>{task.kind}</span>
      {task.execution_mode && <span>{task.execution_mode}</span>}
      <span>
        <Elapsed from={task.started_at} to={task.finished_at} open={!isFinalNode(task.status)} />
      </span>
      {task.flowchart_run_id !== null && (
        <Link to="/runs/$runId" params={{ runId: String(task.flowchart_run_id) }} search={{ node: task.id }}>
          Run #{task.flowchart_run_id}
        </Link>
      )}
    </div>
  );
}

/** One node run on its own: its stages, its log, what went in and what came out. */
export function NodeView({ detail }: { detail: NodeDetail }) {
  const { task, stages } = detail;
  const logs = useQuery(logsQuery(task.id));
  const live = !isFinalNode(task.status);
  return (
    <>
      <Facts task={task} />
      {task.error && (
        <div className={panel.failure} role="alert">
          <div>{task.error.message}</div>
          <small>{task.error.code}</small>
        </div>
      )}
      <Stages stages={stages} live={live} />
      <Tabs defaultValue="logs" keepMounted={false} className={classes.tabs}>
        <Tabs.List>
          <Tabs.Tab value="logs">Log</Tabs.Tab>
          <Tabs.Tab value="output">Output</Tabs.Tab>
          <Tabs.Tab value="input">Input</Tabs.Tab>
          <Tabs.Tab value="attempts">Attempts</Tabs.Tab>
        </Tabs.List>
        <div className={classes.content}>
          {logs.isError && <ErrorNotice error={logs.error} onRetry={() => void logs.refetch()} />}
          <Tabs.Panel value="logs" className={classes.fill}>
            <Lines task={task} stages={stages} logs={logs.data ?? []} />
          </Tabs.Panel>
          <Tabs.Panel value="output">
            <Output task={task} />
          </Tabs.Panel>
          <Tabs.Panel value="input">
            <JsonView value={task.input_context} empty="The input is put together when the node begins." />
          </Tabs.Panel>
          <Tabs.Panel value="attempts">
            <Attempts task={task} />
          </Tabs.Panel>
        </div>
      </Tabs>
    </>
  );
}
