import { useQuery } from "@tanstack/react-query";
import { createFileRoute, notFound, useNavigate } from "@tanstack/react-router";
import { mcpServerQuery } from "../../../features/mcp/api";
import { ServerActions } from "../../../features/mcp/components/server-actions";
import { ServerView } from "../../../features/mcp/components/server-view";
import { ErrorNotice, Lines } from "../../../ui/feedback";
import { PageFrame } from "../../../ui/page";

export const Route = createFileRoute("/_app/mcp-servers/$serverId")({
  beforeLoad: ({ params }) => {
    if (!/^[1-9]\d{0,15}$/.test(params.serverId)) throw notFound();
  },
  component: McpServerPage,
});

function McpServerPage() {
  const { user } = Route.useRouteContext();
  const id = Number(Route.useParams().serverId);
  const navigate = useNavigate();
  const server = useQuery(mcpServerQuery(id));
  const manages = user.role === "admin";
  const title = server.data?.name ?? `Server ${id}`;
  return (
    <PageFrame
      narrow
      title={title}
      crumbs={[{ label: "MCP servers", to: "/mcp-servers" }, { label: title }]}
      actions={
        server.data &&
        manages && (
          <ServerActions
            server={server.data}
            onGone={() => void navigate({ to: "/mcp-servers", replace: true })}
          />
        )
      }
    >
      {server.isError && !server.data && (
        <ErrorNotice error={server.error} onRetry={() => void server.refetch()} />
      )}
      {server.isPending && <Lines n={6} />}
      {server.data && <ServerView server={server.data} manages={manages} />}
    </PageFrame>
  );
}
