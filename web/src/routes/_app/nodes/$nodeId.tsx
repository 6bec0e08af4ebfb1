import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound } from "@tanstack/react-router";
import { nodeQuery } from "../../../features/runs/api";
import { NodeView } from "../../../features/runs/components/node-view";
import { useRoom } from "../../../realtime/provider";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/nodes/$nodeId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.nodeId)) throw notFound();
  },
  component: NodePage,
});

function NodePage() {
  const id = Number(Route.useParams().nodeId);
  const detail = useQuery(nodeQuery(id));
  const task = detail.data?.task;
  useRoom(task ? `task:${id}` : null);
  const name = task?.title || `Node ${id}`;
  return (
    <PageFrame title={name} crumbs={[{ label: "Runs", to: "/runs" }, { label: `${name} #${id}` }]}>
      {detail.isError && !detail.data && (
        <ErrorNotice error={detail.error} onRetry={() => void detail.refetch()} />
      )}
      {detail.isPending && <Lines n={8} />}
      {detail.data && <NodeView detail={detail.data} />}
    </PageFrame>
  );
}
