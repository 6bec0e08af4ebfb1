import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import { QueueHold } from "../../../features/queues/components/queue-hold";
import { runQuery } from "../../../features/runs/api";
import { RunActions } from "../../../features/runs/components/run-actions";
import { RunView } from "../../../features/runs/components/run-view";
import { TraceLink } from "../../../features/runs/components/trace-link";
import { type PanelTab, panelTabs } from "../../../features/runs/tabs";
import { useRunControl } from "../../../features/runs/use-control";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

interface Search {
  node?: number;
  tab?: PanelTab;
}

export const Route = createFileRoute("/_app/runs/$runId")({
  validateSearch: (search): Search => {
    const node = Number(search.node);
    const tab = panelTabs.find((t) => t === search.tab);
    return { ...(Number.isInteger(node) && node > 0 ? { node } : {}), ...(tab ? { tab } : {}) };
  },
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.runId)) throw notFound();
  },
  component: RunPage,
});

function RunPage() {
  const id = Number(Route.useParams().runId);
  const { node, tab = "output" } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const detail = useQuery(runQuery(id));
  const asOf = detail.data?.as_of.sequence;
  useRoom(asOf === undefined ? null : `flowchart_run:${id}`, asOf);

  const control = useRunControl(id);
  const run = detail.data?.flowchart_run;
  const flowchartCrumb = run
    ? [{ label: run.flowchart_name ?? "Flowchart", to: `/flowcharts/${run.flowchart_id}` }]
    : [];
  return (
    <PageFrame
      full={detail.data !== undefined}
      title={`Run ${id}`}
      crumbs={[{ label: "Runs", to: "/runs" }, ...flowchartCrumb, { label: `#${id}` }]}
      actions={
        detail.data && (
          <>
            <QueueHold queued={detail.data.node_runs.some((n) => n.status === "queued")} />
            <TraceLink run={detail.data.flowchart_run} />
            <RunActions detail={detail.data} control={control} />
          </>
        )
      }
    >
      {detail.isError && !detail.data && (
        <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />
      )}
      {detail.isPending && <Lines n={8} />}
      {detail.data && (
        <RunView
          key={id}
          detail={detail.data}
          node={node}
          tab={tab}
          control={control}
          onNode={(next) => void navigate({ search: (s) => ({ ...s, node: next }), replace: true })}
          onTab={(next) => void navigate({ search: (s) => ({ ...s, tab: next }), replace: true })}
        />
      )}
    </PageFrame>
  );
}
