import { createFileRoute } from "@tanstack/react-router";
import { Approvals } from "../../features/mcp/components/approvals";
import { PageFrame } from "../../ui/page";

export const Route = createFileRoute("/_app/approvals")({ component: ApprovalsPage });

function ApprovalsPage() {
  return (
    <PageFrame title="Approvals">
      <Approvals />
    </PageFrame>
  );
}
