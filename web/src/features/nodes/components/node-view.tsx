import "@mantine/core/styles/Tabs.css";
import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { NodeDetail, Stage } from "../../../api/aliases";
import { ErrorNotice } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { Status, StatusIcon } from "../../../ui/status";
import { Ago, Elapsed, useNow } from "../../../ui/time";
import { eventsQuery, logsQuery, quickEventsQuery } from "../../runs/api";
import { Attempts } from "../../runs/components/attempts";
import { Follow } from "../../runs/components/follow";
import { InPod } from "../../runs/components/node-panel";
import { NodeEvents, NodeLogs, NodeOutput } from "../../runs/components/node-parts";
import panel from "../../runs/components/panel.module.css";
import { isFinalNode } from "../../runs/model";
import { type PanelTab, panelTabs } from "../../runs/tabs";
import { NodeSources } from "../../sources/components/node-sources";
import { headline, modeLabel } from "../model";
import classes from "../nodes.module.css";

function Headline({ detail }: { detail: NodeDetail }) {
  const { task, stages } = detail;
  const open = !isFinalNode(task.status);
  const line = headline(task, stages, useNow(task.status === "queued"));
  const mode = modeLabel(task.execution_mode);
  return (
    <div className={panel.headline}>
      <Status status={task.status} />
      <span className={panel.now} role="status" title={line}>
        {line}
      </span>
      <span className={panel.fact}>
        Took{" "}
        <b>
          <Elapsed from={task.started_at} to={task.finished_at} open={open} />
        </b>
      </span>
      {task.usage && (
        <span className={panel.fact}>
          Tokens <b>{count(task.usage.input_tokens)}</b> in, <b>{count(task.usage.output_tokens)}</b> out
        </span>
      )}
      <span className={panel.fact}>
        Kind <b>{mode ? `${task.kind}, ${mode.toLowerCase()}` : task.kind}</b>
      </span>
      <span className={panel.fact}>
        Queue <b>{task.queue}</b>
      </span>
      {detail.index_run_ids && (
        <span className={panel.fact}>
          Source <NodeSources runs={detail.index_run_ids} />
        </span>
      )}
      {task.retry_of !== null && (
        <span className={panel.fact}>
          Again{" "}
          <Link to="/nodes/$nodeId" params={{ nodeId: String(task.retry_of) }} className={panel.link}>
            #{task.retry_of}
          </Link>
        </span>
      )}
      <span className={panel.fact}>
        Begun{" "}
        <b>
          <Ago at={task.created_at} />
        </b>
      </span>
    </div>
  );
}

function Stages({ stages, current }: { stages: Stage[]; current: string | null }) {
  return (
    <ol className={classes.stages} aria-label="Stages">
      {stages.map((s) => (
        <li key={s.key} data-now={(s.key === current && s.status === "running") || undefined}>
          <StatusIcon status={s.status} size={14} />
          {s.label}
          {s.started_at && <Elapsed from={s.started_at} to={s.finished_at} open={s.status === "running"} />}
        </li>
      ))}
    </ol>
  );
}

interface Props {
  detail: NodeDetail;
  tab: PanelTab;
  onTab: (tab: PanelTab) => void;
}

/** A node run by itself: what it does, gave, logged and went through. */
export function NodeView({ detail, tab, onTab }: Props) {
  const { task, stages } = detail;
  const logs = useQuery(logsQuery(task.id));
  const choose = (value: string | null) => {
    const found = panelTabs.find((t) => t === value);
    if (found) onTab(found);
  };
  return (
    <div className={classes.page}>
      <Headline detail={detail} />
      <Stages stages={stages} current={task.current_stage} />
      <section className={panel.panel} aria-label="Node">
        <Tabs value={tab} onChange={choose} keepMounted={false} className={panel.tabs}>
          <Tabs.List>
            <Tabs.Tab value="output">Output</Tabs.Tab>
            <Tabs.Tab value="input">Input</Tabs.Tab>
            <Tabs.Tab value="logs">Logs</Tabs.Tab>
            <Tabs.Tab value="events">Events</Tabs.Tab>
            <Tabs.Tab value="attempts">Attempts</Tabs.Tab>
          </Tabs.List>
          <div className={panel.content}>
            {logs.isError && <ErrorNotice error={logs.error} onRetry={() => void logs.refetch()} />}
            <Tabs.Panel value="output">
              <NodeOutput
                run={task}
                flowchartId={task.flowchart_id}
                logs={logs.data ?? []}
                note={<InPod task={task} />}
              />
            </Tabs.Panel>
            <Tabs.Panel value="input">
              <Follow size={0} live={false}>
                <JsonView
                  value={task.input_context}
                  empty="The input is put together when the node begins."
                />
              </Follow>
            </Tabs.Panel>
            <Tabs.Panel value="logs">
              <NodeLogs run={task} from={task.started_at} logs={logs.data ?? []} />
            </Tabs.Panel>
            <Tabs.Panel value="events">
              <NodeEvents
                run={task}
                query={
                  task.flowchart_run_id === null
                    ? quickEventsQuery(task.id)
                    : eventsQuery(task.flowchart_run_id)
                }
                from={task.created_at}
              />
            </Tabs.Panel>
            <Tabs.Panel value="attempts">
              <Follow size={0} live={false}>
                <Attempts task={task} />
              </Follow>
            </Tabs.Panel>
          </div>
        </Tabs>
      </section>
    </div>
  );
}
