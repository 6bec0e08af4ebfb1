import { Button } from "@mantine/core";
import { IconPlayerStop, IconRepeat } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { createFileRoute, Link, notFound, useNavigate } from "@tanstack/react-router";
import { cancelRun, retryRun, runKeys, runQuery } from "../../../features/runs/api";
import { RunView } from "../../../features/runs/components/run-view";
import { isFinalRun, type PanelTab, panelTabs } from "../../../features/runs/model";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { notifyError } from "../../../ui/notices";
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
  const cache = useQueryClient();
  const detail = useQuery(runQuery(id));
  const asOf = detail.data?.as_of.sequence;
  useRoom(asOf === undefined ? null : `flowchart_run:${id}`, asOf);

  const cancel = useMutation({
    mutationFn: () => cancelRun(id),
    onError: (error) => notifyError("The run was not cancelled", error),
    onSettled: () => cache.invalidateQueries({ queryKey: runKeys.detail(id) }),
  });
  const again = useMutation({
    mutationFn: () => retryRun(id),
    onSuccess: ({ flowchart_run }) => {
      void cache.invalidateQueries({ queryKey: runKeys.lists });
      void navigate({ to: "/runs/$runId", params: { runId: String(flowchart_run.id) }, search: {} });
    },
    onError: (error) => notifyError("The run was not begun again", error),
  });

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
        run && (
          <>
            {run.retry_of !== null && (
              <Link to="/runs/$runId" params={{ runId: String(run.retry_of) }} style={{ fontSize: 13 }}>
                Again of #{run.retry_of}
              </Link>
            )}
            {!isFinalRun(run.status) && (
              <Button
                variant="default"
                leftSection={<IconPlayerStop size={15} />}
                loading={cancel.isPending}
                disabled={run.status === "cancelling"}
                onClick={() => cancel.mutate()}
              >
                Cancel
              </Button>
            )}
            <Button
              variant={isFinalRun(run.status) ? "filled" : "default"}
              leftSection={<IconRepeat size={15} />}
              loading={again.isPending}
              onClick={() => again.mutate()}
            >
              Run again
            </Button>
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
          onNode={(next) => void navigate({ search: (s) => ({ ...s, node: next }), replace: true })}
          onTab={(next) => void navigate({ search: (s) => ({ ...s, tab: next }), replace: true })}
        />
      )}
    </PageFrame>
  );
}
