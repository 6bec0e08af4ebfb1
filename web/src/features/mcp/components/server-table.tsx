import { ActionIcon, Tooltip } from "@mantine/core";
import { IconAlertTriangle, IconPlayerPlay } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import type { McpServer } from "../../../api/aliases";
import { StatusIcon } from "../../../ui/status";
import table from "../../../ui/table.module.css";
import { Ago } from "../../../ui/time";
import { addressOfServer, approvals, stateLooks, stateOf, transports } from "../model";
import classes from "./mcp.module.css";

function State({ server }: { server: McpServer }) {
  const look = stateLooks[stateOf(server)];
  return (
    <Tooltip label={server.last_test?.message ?? "Nobody has tested it yet."}>
      <span className={classes.state}>
        <StatusIcon status={look.status} size={15} />
        {look.label}
        {server.last_test && server.enabled && (
          <small>
            <Ago at={server.last_test.tested_at} />
          </small>
        )}
      </span>
    </Tooltip>
  );
}

function Warnings({ warnings }: { warnings: string[] }) {
  if (warnings.length === 0) return null;
  return (
    <Tooltip label={warnings.join(" ")} events={{ hover: true, focus: true, touch: true }}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: its words are in the tooltip */}
      <span className={classes.warn} tabIndex={0} role="img" aria-label={`Warning: ${warnings.join(" ")}`}>
        <IconAlertTriangle size={15} />
      </span>
    </Tooltip>
  );
}

interface Props {
  servers: McpServer[];
  testing: ReadonlySet<number>;
  onTest: ((server: McpServer) => void) | null;
}

export function ServerTable({ servers, testing, onTest }: Props) {
  return (
    <table className={table.table}>
      <thead>
        <tr>
          <th>Name</th>
          <th>State</th>
          <th className={table.number}>Tools</th>
          <th>Transport</th>
          <th>Asks before calls</th>
          <th aria-label="Actions" />
        </tr>
      </thead>
      <tbody>
        {servers.map((server) => (
          <tr key={server.id} className={table.row}>
            <td className={table.clip} style={{ width: "45%" }}>
              <Link
                className={table.link}
                to="/mcp-servers/$serverId"
                params={{ serverId: String(server.id) }}
              >
                {server.name}
              </Link>
              <span className={classes.marks}>
                {server.server_type === "integrated" && <span className={classes.mark}>integrated</span>}
                <Warnings warnings={server.warnings} />
              </span>
              <div className={table.sub}>{addressOfServer(server)}</div>
            </td>
            <td className={table.muted}>
              <span className={table.above}>
                <State server={server} />
              </span>
            </td>
            <td className={table.number}>
              {server.last_test?.ok ? toolsOf(server, server.last_test.tools) : "–"}
            </td>
            <td className={table.muted}>{transports.find((t) => t.value === server.transport)?.label}</td>
            <td className={table.muted}>
              {approvals.find((a) => a.value === server.approval)?.label}
              {server.approval_tools.length > 0 &&
                server.approval !== "always" &&
                ` + ${server.approval_tools.length}`}
            </td>
            <td>
              <div className={table.actions}>
                {onTest && (
                  <Tooltip label="Test">
                    <ActionIcon
                      aria-label={`Test ${server.name}`}
                      loading={testing.has(server.id)}
                      onClick={() => onTest(server)}
                    >
                      <IconPlayerPlay size={16} />
                    </ActionIcon>
                  </Tooltip>
                )}
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const toolsOf = (server: McpServer, tools: number): string =>
  server.allow_all_tools ? String(tools) : `${server.allowed_tools.length} of ${tools}`;
