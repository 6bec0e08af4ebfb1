import { useQuery } from "@tanstack/react-query";
import type { RunDetail } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { Status } from "../../../ui/status";
import { Ago, Elapsed } from "../../../ui/time";
import { versionQuery } from "../../flowcharts/api";
import { timelineQuery } from "../api";
import { headline, isFinalRun, latestByNode, type PanelTab, usageOf } from "../model";
import { Follow } from "./follow";
import { NodePanel } from "./node-panel";
import classes from "./panel.module.css";
import { RunGraph } from "./run-graph";
import { WaterfallView } from "./waterfall-view";

interface Props {
  detail: RunDetail;
  node: number | undefined;
  tab: PanelTab;
  onNode: (nodeRunId: number) => void;
  onTab: (tab: PanelTab) => void;
}

function Headline({ detail }: { detail: RunDetail }) {
  const run = detail.flowchart_run;
  const usage = usageOf(detail);
  return (
    <div className={classes.headline}>
      <Status status={run.status} />
      <span className={classes.now} role="status" title={headline(detail)}>
        {headline(detail)}
      </span>
      <span className={classes.fact}>
        Took{" "}
        <b>
          <Elapsed from={run.started_at} to={run.finished_at} open={!isFinalRun(run.status)} />
        </b>
      </span>
      <span className={classes.fact}>
        Tokens <b>{count(usage.input)}</b> in, <b>{count(usage.output)}</b> out
      </span>
      <span className={classes.fact}>
        Version <b>{run.version}</b>
      </span>
      <span className={classes.fact}>
        Begun{" "}
        <b>
          <Ago at={run.created_at} />
        </b>
      </span>
    </div>
  );
}

// What is looked at when nobody has chosen: what runs, what failed, what came last.
function focusOf(detail: RunDetail, chosen: number | undefined) {
  const runs = detail.node_runs;
  const active = runs.filter((r) => r.status === "running");
  return (
    runs.find((r) => r.id === chosen) ??
    active.at(-1) ??
    runs.find((r) => r.status === "failed") ??
    runs.filter((r) => r.kind !== "end" && r.kind !== "start").at(-1) ??
    runs.at(-1)
  );
}

export function RunView({ detail, node, tab, onNode, onTab }: Props) {
  const run = detail.flowchart_run;
  const graph = useQuery(versionQuery(run.flowchart_id, run.version));
  const timeline = useQuery(timelineQuery(run.id));
  const focus = focusOf(detail, node);
  const live = !isFinalRun(run.status);
  return (
    <div className={classes.run}>
      <Headline detail={detail} />
      <div className={classes.graph}>
        {graph.isError && <ErrorNotice error={graph.error} onRetry={() => void graph.refetch()} />}
        {graph.data && (
          <RunGraph
            graph={graph.data}
            nodeRuns={detail.node_runs}
            ended={!live}
            selected={focus?.flowchart_node_id ?? null}
            onSelect={(id) => {
              const latest = latestByNode(detail.node_runs).get(id);
              if (latest) onNode(latest.id);
            }}
          />
        )}
      </div>
      <div className={classes.fall}>
        {timeline.isError && <ErrorNotice error={timeline.error} onRetry={() => void timeline.refetch()} />}
        {timeline.isPending && <Lines n={4} height={26} />}
        {timeline.data && (
          <WaterfallView
            attempts={timeline.data.attempts}
            edges={graph.data?.edges ?? []}
            from={run.started_at ?? run.created_at}
            live={live}
            selected={focus?.id ?? null}
            onSelect={onNode}
          />
        )}
      </div>
      <div className={classes.below}>
        {focus ? (
          <NodePanel
            flowchartRun={run}
            runs={detail.node_runs}
            run={focus}
            tab={tab}
            onTab={onTab}
            onRun={onNode}
          />
        ) : (
          <Follow size={0} live={false}>
            <p className={classes.quiet}>No node has begun. The run's input:</p>
            <JsonView value={run.input} empty="None." />
          </Follow>
        )}
      </div>
    </div>
  );
}
