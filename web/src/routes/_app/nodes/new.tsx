import { createFileRoute } from "@tanstack/react-router";
import { QuickNode } from "../../../features/nodes/components/quick-node";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/nodes/new")({ component: New });

function New() {
  const navigate = Route.useNavigate();
  return (
    <PageFrame title="Run a quick node" crumbs={[{ label: "Quick nodes", to: "/nodes" }, { label: "New" }]}>
      <QuickNode
        onStarted={(task) =>
          void navigate({ to: "/nodes/$nodeId", params: { nodeId: String(task.id) }, search: {} })
        }
      />
    </PageFrame>
  );
}
