import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import { NodeActions } from "../../../features/nodes/components/node-actions";
import { NodeView } from "../../../features/nodes/components/node-view";
import { QueueHold } from "../../../features/queues/components/queue-hold";
import { nodeQuery } from "../../../features/runs/api";
import { type PanelTab, panelTabs } from "../../../features/runs/tabs";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

interface Search {
  tab?: PanelTab;
}

export const Route = createFileRoute("/_app/nodes/$nodeId")({
  validateSearch: (search): Search => {
    const tab = panelTabs.find((t) => t === search.tab);
    return tab ? { tab } : {};
  },
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.nodeId)) throw notFound();
  },
  component: NodePage,
});

function NodePage() {
  const id = Number(Route.useParams().nodeId);
  const { tab = "output" } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const detail = useQuery(nodeQuery(id));
  useRoom(`task:${id}`);
  const task = detail.data?.task;
  return (
    <PageFrame
      full={detail.data !== undefined}
      title={task?.title || `Node run ${id}`}
      crumbs={[{ label: "Quick nodes", to: "/nodes" }, { label: task?.title || `#${id}` }]}
      actions={
        task && (
          <>
            <QueueHold queued={task.status === "queued"} name={task.queue} />
            <NodeActions task={task} />
          </>
        )
      }
    >
      {detail.isError && !detail.data && (
        <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />
      )}
      {detail.isPending && <Lines n={8} />}
      {detail.data && (
        <NodeView
          key={id}
          detail={detail.data}
          tab={tab}
          onTab={(next) => void navigate({ search: { tab: next }, replace: true })}
        />
      )}
    </PageFrame>
  );
}
