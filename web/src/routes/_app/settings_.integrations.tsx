import { createFileRoute } from "@tanstack/react-router";
import { Integrations } from "../../features/settings/integrations";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/settings_/integrations")({ component: IntegrationsPage });

function IntegrationsPage() {
  const { user } = Route.useRouteContext();
  return (
    <PageFrame
      title="Integrations"
      crumbs={[{ label: "Settings", to: "/settings" }, { label: "Integrations" }]}
      narrow
    >
      <Integrations manages={user.role === "admin"} />
    </PageFrame>
  );
}
