import { Button } from "@mantine/core";
import { IconAlertTriangle, IconPlugConnected } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { McpServer } from "../../../api/aliases";
import { ErrorNotice, Id, Lines } from "../../../ui/feedback";
import { notify, notifyError } from "../../../ui/notices";
import { Section } from "../../../ui/page";
import { Ago } from "../../../ui/time";
import { forgetOAuth, mcpKeys, mcpToolsQuery, type ServerChange, startOAuth, updateServer } from "../api";
import { addressOfServer, approvals, transports } from "../model";
import classes from "./mcp.module.css";
import { TestResults } from "./test-results";
import { ToolList } from "./tool-list";

const kinds = { header: "header", env: "variable", oauth_client_secret: "client secret" };

function Secrets({ server }: { server: McpServer }) {
  if (server.secrets.length === 0) return <>None</>;
  return (
    <>
      {server.secrets.map((s) => (
        <span key={`${s.kind} ${s.name}`} className={classes.mark} title={`Fingerprint ${s.fingerprint}`}>
          {s.kind === "oauth_client_secret" ? "" : `${s.name} `}({kinds[s.kind]}, set <Ago at={s.set_at} />)
        </span>
      ))}
    </>
  );
}

function OAuth({ server, manages }: { server: McpServer; manages: boolean }) {
  const cache = useQueryClient();
  const start = useMutation({
    mutationFn: () => startOAuth(server.id),
    onSuccess: (address) => window.location.assign(address),
    onError: (e) => notifyError("The sign-in did not begin", e),
  });
  const forget = useMutation({
    mutationFn: () => forgetOAuth(server.id),
    onSuccess: () => notify("The authorization is forgotten."),
    onError: (e) => notifyError("It was not forgotten", e),
    onSettled: () => cache.invalidateQueries({ queryKey: mcpKeys.servers }),
  });
  const { oauth } = server;
  return (
    <>
      {oauth.connected ? (
        <span>
          Connected{oauth.issuer && ` at ${oauth.issuer}`}
          {oauth.authorized_at && (
            <>
              , <Ago at={oauth.authorized_at} />
            </>
          )}
          {!oauth.refreshes && oauth.expires_at && (
            <small> until {new Date(oauth.expires_at).toLocaleString()}; then sign in again</small>
          )}
        </span>
      ) : (
        <span>{server.last_test?.needs_oauth ? "The server asks for a sign-in" : "Not used"}</span>
      )}
      {manages && (
        <Button
          variant={server.last_test?.needs_oauth && !oauth.connected ? "filled" : "default"}
          leftSection={<IconPlugConnected size={14} />}
          loading={start.isPending}
          onClick={() => start.mutate()}
        >
          {oauth.connected ? "Connect again" : "Connect"}
        </Button>
      )}
      {manages && oauth.connected && (
        <Button variant="default" loading={forget.isPending} onClick={() => forget.mutate()}>
          Forget
        </Button>
      )}
    </>
  );
}

function Facts({ server, manages }: { server: McpServer; manages: boolean }) {
  return (
    <dl className={classes.facts}>
      <dt>{transports.find((t) => t.value === server.transport)?.label}</dt>
      <dd>
        <code>{addressOfServer(server)}</code>
      </dd>
      <dt>Key</dt>
      <dd>
        <Id>{server.server_key}</Id>
        {server.server_type === "integrated" && <span className={classes.mark}>managed by the Studio</span>}
      </dd>
      <dt>Secrets</dt>
      <dd>
        <Secrets server={server} />
      </dd>
      {server.transport !== "stdio" && (
        <>
          <dt>Authorization</dt>
          <dd>
            <OAuth server={server} manages={manages} />
          </dd>
        </>
      )}
      <dt>Asks before calls</dt>
      <dd>
        {approvals.find((a) => a.value === server.approval)?.label}
        <small>{approvals.find((a) => a.value === server.approval)?.hint}</small>
      </dd>
      <dt>Time-out of a call</dt>
      <dd>{server.timeout_seconds} s</dd>
    </dl>
  );
}

function Tools({ server, manages }: { server: McpServer; manages: boolean }) {
  const cache = useQueryClient();
  const tools = useQuery({ ...mcpToolsQuery(server.id), enabled: server.enabled });
  const save = useMutation({
    mutationFn: (change: ServerChange) => updateServer(server.id, change),
    onSuccess: (saved) => cache.setQueryData(mcpKeys.detail(server.id), saved),
    onError: (e) => notifyError("The choice was not saved", e),
    onSettled: () => cache.invalidateQueries({ queryKey: mcpKeys.servers }),
  });
  const shown = save.isPending ? ({ ...server, ...save.variables } as McpServer) : server;
  if (!server.enabled)
    return <p className={classes.quiet}>The server is off. Turn it on to see its tools.</p>;
  if (tools.isError) return <ErrorNotice error={tools.error} onRetry={() => void tools.refetch()} />;
  if (tools.isPending) return <Lines n={4} height={48} />;
  if (tools.data.length === 0) return <p className={classes.quiet}>The server offers no tools.</p>;
  return (
    <ToolList server={shown} tools={tools.data} onChange={manages ? (change) => save.mutate(change) : null} />
  );
}

/** One server: how it is reached, whether that works, and what it offers. */
export function ServerView({ server, manages }: { server: McpServer; manages: boolean }) {
  return (
    <>
      {server.warnings.map((warning) => (
        <div key={warning} className={classes.warning}>
          <IconAlertTriangle size={16} aria-hidden />
          <div>{warning}</div>
        </div>
      ))}
      <Section title="Connection">
        <Facts server={server} manages={manages} />
      </Section>
      <Section title="Last test">
        <TestResults test={server.last_test} />
      </Section>
      <Section title="Tools">
        <Tools server={server} manages={manages} />
      </Section>
    </>
  );
}
