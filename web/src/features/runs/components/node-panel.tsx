import "@mantine/core/styles/Tabs.css";
import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { FlowchartRun, NodeDetail, NodeRun, NodeTask } from "../../../api/aliases";
import { ErrorNotice, Id, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { Select } from "../../../ui/inputs";
import { JsonView } from "../../../ui/json-view";
import { lookOf, Status } from "../../../ui/status";
import { Elapsed } from "../../../ui/time";
import { eventsQuery, logsQuery, nodeQuery } from "../api";
import { isFinalNode, isHeld, shownStatus } from "../model";
import { openInPod } from "../pods";
import { type PanelTab, panelTabs } from "../tabs";
import type { RunControl } from "../use-control";
import { Attempts } from "./attempts";
import { Follow } from "./follow";
import { NodeMenuButton } from "./node-menu";
import { NodeEvents, NodeLogs, NodeOutput } from "./node-parts";
import classes from "./panel.module.css";
import { DispatchLine } from "./pod-story";
import pods from "./pods.module.css";

interface Props {
  flowchartRun: FlowchartRun;
  runs: NodeRun[];
  run: NodeRun;
  tab: PanelTab;
  control: RunControl;
  onTab: (tab: PanelTab) => void;
  onRun: (nodeRunId: number) => void;
}

function Head({
  flowchartRun,
  runs,
  run,
  control,
  onRun,
}: Pick<Props, "flowchartRun" | "runs" | "run" | "control" | "onRun">) {
  const executions = runs.filter((r) => r.flowchart_node_id === run.flowchart_node_id);
  return (
    <div className={classes.head}>
      <b>{run.title || run.flowchart_node_id}</b>
      <Status status={shownStatus(run, isHeld(flowchartRun.status))} />
      {run.reused_from === null && (
        <span className={classes.fact}>
          <Elapsed from={run.started_at} to={run.finished_at} open={!isFinalNode(run.status)} />
        </span>
      )}
      {run.usage && (
        <span className={classes.fact}>
          {count(run.usage.input_tokens)} in, {count(run.usage.output_tokens)} out
        </span>
      )}
      {executions.length > 1 && (
        <Select
          size="xs"
          w={150}
          aria-label="Which time"
          allowDeselect={false}
          value={String(run.id)}
          data={executions.map((r) => ({
            value: String(r.id),
            label: `Time ${r.execution_index}: ${lookOf(shownStatus(r)).label.toLowerCase()}`,
          }))}
          onChange={(value) => value && onRun(Number(value))}
        />
      )}
      <span className={classes.tail}>
        <Id copy={String(run.id)}>{`node run ${run.id}`}</Id>
        <NodeMenuButton flowchartRun={flowchartRun} run={run} control={control} />
      </span>
    </div>
  );
}

/** Where the result of a node run that was not executed comes from. */
function ReusedFrom({ detail }: { detail: NodeDetail | undefined }) {
  const task = detail?.task;
  if (!task || task.reused_from === null || task.reused_from_run_id === null) return null;
  return (
    <p className={classes.reusedFrom}>
      Not executed here: the result of{" "}
      <Link
        to="/runs/$runId"
        params={{ runId: String(task.reused_from_run_id) }}
        search={{ node: task.reused_from }}
        className={classes.link}
      >
        run #{task.reused_from_run_id}
      </Link>{" "}
      is reused.
    </p>
  );
}

/** Where a node run stands that is on its way through a pod. */
export function InPod({ task }: { task: NodeTask | undefined }) {
  const attempt = task && openInPod(task);
  return attempt ? (
    <div className={pods.now}>
      <DispatchLine attempt={attempt} />
    </div>
  ) : null;
}

export function NodePanel({ flowchartRun, runs, run, tab, control, onTab, onRun }: Props) {
  const logs = useQuery(logsQuery(run.id));
  const detail = useQuery(nodeQuery(run.id));
  const items = logs.data ?? [];
  const choose = (value: string | null) => {
    const found = panelTabs.find((t) => t === value);
    if (found) onTab(found);
  };
  const withDetail = (show: (d: NodeDetail) => React.ReactNode) => {
    if (detail.isError) return <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />;
    return detail.data ? show(detail.data) : <Lines n={4} height={24} />;
  };
  return (
    <section className={classes.panel} aria-label="Node">
      <Head flowchartRun={flowchartRun} runs={runs} run={run} control={control} onRun={onRun} />
      <Tabs value={tab} onChange={choose} keepMounted={false} className={classes.tabs}>
        <Tabs.List>
          <Tabs.Tab value="output">Output</Tabs.Tab>
          <Tabs.Tab value="input">Input</Tabs.Tab>
          <Tabs.Tab value="logs">Logs</Tabs.Tab>
          <Tabs.Tab value="events">Events</Tabs.Tab>
          <Tabs.Tab value="attempts">Attempts</Tabs.Tab>
        </Tabs.List>
        <div className={classes.content}>
          {logs.isError && <ErrorNotice error={logs.error} onRetry={() => void logs.refetch()} />}
          <Tabs.Panel value="output">
            <NodeOutput
              key={run.id}
              run={run}
              logs={items}
              flowchartId={flowchartRun.flowchart_id}
              note={
                run.reused_from !== null ? (
                  <ReusedFrom detail={detail.data} />
                ) : (
                  <InPod task={detail.data?.task} />
                )
              }
            />
          </Tabs.Panel>
          <Tabs.Panel value="input">
            <Follow size={0} live={false}>
              {withDetail((d) => (
                <JsonView
                  value={d.task.input_context}
                  empty="The input is put together when the node begins."
                />
              ))}
            </Follow>
          </Tabs.Panel>
          <Tabs.Panel value="logs">
            <NodeLogs key={run.id} run={run} from={flowchartRun.started_at} logs={items} />
          </Tabs.Panel>
          <Tabs.Panel value="events">
            <NodeEvents
              key={run.id}
              run={run}
              query={eventsQuery(flowchartRun.id)}
              from={flowchartRun.started_at ?? flowchartRun.created_at}
            />
          </Tabs.Panel>
          <Tabs.Panel value="attempts">
            <Follow size={0} live={false}>
              {withDetail((d) => (
                <Attempts task={d.task} />
              ))}
            </Follow>
          </Tabs.Panel>
        </div>
      </Tabs>
    </section>
  );
}
