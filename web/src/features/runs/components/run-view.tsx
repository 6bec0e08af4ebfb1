import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { RunDetail } from "../../../api/aliases";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { count } from "../../../ui/format";
import { JsonView } from "../../../ui/json-view";
import { Status } from "../../../ui/status";
import { Ago, Elapsed } from "../../../ui/time";
import { versionQuery } from "../../flowcharts/api";
import { timelineQuery } from "../api";
import { isFinalRun } from "../final";
import { headline, isHeld, latestByNode, shownStatus, usageOf } from "../model";
import type { PanelTab } from "../tabs";
import type { RunControl } from "../use-control";
import { Follow } from "./follow";
import { type MenuPlace, NodeMenuAt } from "./node-menu";
import { NodePanel } from "./node-panel";
import classes from "./panel.module.css";
import { RunGraph } from "./run-graph";
import { Stopped } from "./stopped";
import { WaterfallView } from "./waterfall-view";

interface Props {
  detail: RunDetail;
  node: number | undefined;
  tab: PanelTab;
  control: RunControl;
  onNode: (nodeRunId: number) => void;
  onTab: (tab: PanelTab) => void;
}

function Headline({ detail }: { detail: RunDetail }) {
  const run = detail.flowchart_run;
  const usage = usageOf(detail);
  return (
    <div className={classes.headline} data-held={isHeld(run.status) || undefined}>
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
      {run.paused_at && (
        <span className={classes.fact}>
          Paused{" "}
          <b>
            <Ago at={run.paused_at} />
          </b>
        </span>
      )}
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

export function RunView({ detail, node, tab, control, onNode, onTab }: Props) {
  const run = detail.flowchart_run;
  const graph = useQuery(versionQuery(run.flowchart_id, run.version));
  const timeline = useQuery(timelineQuery(run.id));
  const focus = focusOf(detail, node);
  const live = !isFinalRun(run.status);
  const [menu, setMenu] = useState<MenuPlace | null>(null);
  const latest = latestByNode(detail.node_runs);
  const menuOfNode = (id: string, x: number, y: number) => {
    const title = graph.data?.nodes.find((n) => n.id === id)?.title || id;
    setMenu({ id: latest.get(id)?.id, title, x, y });
  };
  const menuOfRun = (id: number, x: number, y: number) => {
    const of = detail.node_runs.find((r) => r.id === id);
    setMenu({ id, title: of?.title || of?.flowchart_node_id || `Node run ${id}`, x, y });
  };
  return (
    <div className={classes.run}>
      <div className={classes.top}>
        <Headline detail={detail} />
        {run.cancellation && <Stopped cancellation={run.cancellation} status={run.status} onNode={onNode} />}
      </div>
      <div className={classes.graph}>
        {graph.isError && <ErrorNotice error={graph.error} onRetry={() => void graph.refetch()} />}
        {graph.data && (
          <RunGraph
            graph={graph.data}
            nodeRuns={detail.node_runs}
            ended={!live}
            held={isHeld(run.status)}
            selected={focus?.flowchart_node_id ?? null}
            onSelect={(id) => {
              const chosen = latest.get(id);
              if (chosen) onNode(chosen.id);
            }}
            onMenu={menuOfNode}
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
            reused={detail.node_runs.filter((r) => shownStatus(r) === "reused").length}
            onSelect={onNode}
            onMenu={menuOfRun}
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
            control={control}
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
      {menu && (
        <NodeMenuAt
          place={menu}
          flowchartRun={run}
          run={detail.node_runs.find((r) => r.id === menu.id)}
          control={control}
          onClose={() => setMenu(null)}
        />
      )}
    </div>
  );
}
