import { createFileRoute, useNavigate } from "@tanstack/react-router";
import { useEffect } from "react";
import { AddServer, OAuthOutcome, Servers } from "../../../features/mcp/components/servers";
import { notify } from "../../../ui/notices";
import { PageFrame } from "../../../ui/page";

interface Search {
  new?: true;
  /** An authorization ended well, of this server. */
  connected?: number;
  /** Or not. */
  oauth_error?: string;
}

export const Route = createFileRoute("/_app/mcp-servers/")({
  validateSearch: (search): Search => {
    const connected = Number(search.connected);
    return {
      ...(search.new === true && { new: true }),
      ...(Number.isInteger(connected) && connected > 0 && { connected }),
      ...(typeof search.oauth_error === "string" && { oauth_error: search.oauth_error.slice(0, 1000) }),
    };
  },
  component: McpServers,
});

function McpServers() {
  const { user } = Route.useRouteContext();
  const { new: adding = false, connected, oauth_error } = Route.useSearch();
  const navigate = useNavigate({ from: Route.fullPath });
  const manages = user.role === "admin";
  const add = (now: boolean) => void navigate({ search: now ? { new: true } : {}, replace: true });
  const open = (id: number) =>
    void navigate({ to: "/mcp-servers/$serverId", params: { serverId: String(id) }, replace: true });
  useEffect(() => {
    if (connected === undefined) return;
    notify("Connected. Test it to see its tools.");
    void navigate({
      to: "/mcp-servers/$serverId",
      params: { serverId: String(connected) },
      replace: true,
    });
  }, [connected, navigate]);
  return (
    <PageFrame title="MCP servers" actions={manages && <AddServer onAdd={() => add(true)} />}>
      {oauth_error && <OAuthOutcome error={oauth_error} />}
      <Servers manages={manages} adding={adding} onAdd={add} onOpen={open} />
    </PageFrame>
  );
}
