import { createFileRoute } from "@tanstack/react-router";
import { RetrievalSettingsPage } from "../../features/settings/retrieval-form";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/settings_/retrieval")({ component: RetrievalPage });

function RetrievalPage() {
  const { user } = Route.useRouteContext();
  return (
    <PageFrame
      title="Retrieval"
      crumbs={[{ label: "Settings", to: "/settings" }, { label: "Retrieval" }]}
      narrow
    >
      <RetrievalSettingsPage manages={user.role === "admin"} />
    </PageFrame>
  );
}
