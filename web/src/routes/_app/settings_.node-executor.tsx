import { createFileRoute } from "@tanstack/react-router";
import { NodeExecutorSettings } from "../../features/settings/node-executor-form";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/settings_/node-executor")({ component: NodeExecutorPage });

function NodeExecutorPage() {
  const { user } = Route.useRouteContext();
  return (
    <PageFrame
      title="Node executor"
      crumbs={[{ label: "Settings", to: "/settings" }, { label: "Node executor" }]}
      narrow
    >
      <NodeExecutorSettings manages={user.role === "admin"} />
    </PageFrame>
  );
}
