import { useQuery } from "@tanstack/react-query";
import type { McpServerInfo } from "../../api/aliases";
import { CopyButton, ErrorNotice, Lines } from "../../ui/feedback";
import { Section } from "../../ui/page";
import { mcpServerQuery } from "./api";
import { mcpClientConfig } from "./model";
import classes from "./settings.module.css";

function Address({ label, hint, url }: { label: string; hint: string; url: string }) {
  return (
    <div className={classes.line}>
      <div>
        {label}
        <small>{hint}</small>
      </div>
      <div className={classes.address}>
        <code>{url}</code>
        <CopyButton text={url} label={`Copy ${label.toLowerCase()}`} />
      </div>
    </div>
  );
}

function Addresses({ info }: { info: McpServerInfo }) {
  const config = mcpClientConfig(info.public_url || info.url);
  return (
    <div className={classes.form}>
      <Address label="Address" hint="Streamable HTTP, below the API." url={info.url} />
      {info.public_url && (
        <Address label="Public address" hint="Of llmctl mcp, from outside." url={info.public_url} />
      )}
      <div className={classes.line}>
        <span className={classes.hint}>
          {info.tools} tools of the Studio, {info.published} published{" "}
          {info.published === 1 ? "flowchart" : "flowcharts"}. A client needs one of your API keys; it may do
          what you may.
        </span>
      </div>
      <div className={classes.block}>
        <pre>{config}</pre>
        <CopyButton text={config} label="Copy configuration" />
      </div>
    </div>
  );
}

/** Where the Studio's own MCP server is, and how to connect to it. */
export function McpServerSection() {
  const info = useQuery(mcpServerQuery);
  return (
    <Section title="MCP server">
      {info.isError && <ErrorNotice error={info.error} onRetry={() => void info.refetch()} />}
      {info.isPending && <Lines n={3} height={48} />}
      {info.data && <Addresses info={info.data} />}
    </Section>
  );
}
