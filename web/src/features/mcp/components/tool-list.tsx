import { Button } from "@mantine/core";
import { IconChevronRight } from "@tabler/icons-react";
import { useState } from "react";
import type { McpServer, McpTool } from "../../../api/aliases";
import { Switch, TextInput } from "../../../ui/inputs";
import { JsonView } from "../../../ui/json-view";
import { allows, parametersOf, toggleAllowed, toggleIn } from "../model";
import classes from "./mcp.module.css";

function Traits({ tool }: { tool: McpTool }) {
  const traits = [
    tool.read_only && "only reads",
    tool.destructive && !tool.read_only && "may destroy",
    tool.idempotent && !tool.read_only && "may be repeated",
  ].filter(Boolean);
  return <span className={classes.traits}>{traits.join(" · ")}</span>;
}

function Parameters({ schema }: { schema: unknown }) {
  const [raw, setRaw] = useState(false);
  const rows = parametersOf(schema);
  return (
    <section>
      <div className={classes.schemaHead}>
        <h4>Parameters</h4>
        <Button variant="subtle" color="gray" size="compact-xs" onClick={() => setRaw(!raw)}>
          {raw ? "As a table" : "As a schema"}
        </Button>
      </div>
      {raw && <JsonView value={schema} empty="None." />}
      {!raw && rows.length === 0 && <p className={classes.quiet}>It takes none.</p>}
      {!raw && rows.length > 0 && (
        <table className={classes.parameters}>
          <tbody>
            {rows.map((p) => (
              <tr key={p.name}>
                <th scope="row">
                  <code>{p.name}</code>
                  {p.required && <span title="Required">*</span>}
                </th>
                <td>
                  <code>{p.type}</code>
                </td>
                <td>{p.description}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

export type ToolChange = Partial<Pick<McpServer, "allow_all_tools" | "allowed_tools" | "approval_tools">>;

interface RowProps {
  tool: McpTool;
  server: McpServer;
  tools: McpTool[];
  onChange: ((change: ToolChange) => void) | null;
}

function ToolRow({ tool, server, tools, onChange }: RowProps) {
  const [open, setOpen] = useState(false);
  const allowed = allows(server, tool.name);
  const asks = server.approval_tools.includes(tool.name);
  return (
    <li className={classes.tool} data-off={!allowed || undefined}>
      <div className={classes.toolHead}>
        <button type="button" className={classes.unfold} aria-expanded={open} onClick={() => setOpen(!open)}>
          <IconChevronRight size={14} aria-hidden />
          <code>{tool.name}</code>
          {tool.title && <span>{tool.title}</span>}
          <Traits tool={tool} />
        </button>
        <Switch
          size="xs"
          label="Asks first"
          aria-label={`Calls of ${tool.name} wait for approval`}
          checked={asks || tool.needs_approval}
          disabled={!onChange || (tool.needs_approval && !asks)}
          onChange={() => onChange?.({ approval_tools: toggleIn(server.approval_tools, tool.name) })}
        />
        <Switch
          size="xs"
          label="Allowed"
          aria-label={`Models may call ${tool.name}`}
          checked={allowed}
          disabled={!onChange}
          onChange={() => onChange?.({ allowed_tools: toggleAllowed(server, tools, tool.name) })}
        />
      </div>
      {tool.problem && <p className={classes.problem}>{tool.problem}</p>}
      <p className={open ? classes.about : classes.aboutLine}>{tool.description}</p>
      {open && (
        <div className={classes.toolBody}>
          <Parameters schema={tool.input_schema} />
          {tool.output_schema && (
            <section>
              <h4>Result</h4>
              <JsonView value={tool.output_schema} empty="Anything." />
            </section>
          )}
          <p className={classes.quiet}>
            Models call it <code>{tool.model_name}</code>.
          </p>
        </div>
      )}
    </li>
  );
}

const searchFrom = 8;

/** What a server offers: each tool with its schema, whether it may be called, and whether somebody is asked. */
export function ToolList({ server, tools, onChange }: Omit<RowProps, "tool">) {
  const [q, setQ] = useState("");
  const found = tools.filter((t) =>
    `${t.name} ${t.title ?? ""} ${t.description}`.toLowerCase().includes(q.trim().toLowerCase()),
  );
  return (
    <>
      {!server.allow_all_tools && onChange && (
        <p className={classes.only}>
          Only the allowed ones are offered, also when the server gets new ones.
          <Button variant="default" onClick={() => onChange({ allow_all_tools: true })}>
            Allow all
          </Button>
        </p>
      )}
      {tools.length >= searchFrom && (
        <TextInput
          className={classes.toolSearch}
          aria-label="Search tools"
          placeholder={`Search ${tools.length} tools`}
          value={q}
          onChange={(e) => setQ(e.currentTarget.value)}
        />
      )}
      <ul className={classes.tools}>
        {found.map((tool) => (
          <ToolRow key={tool.name} tool={tool} server={server} tools={tools} onChange={onChange} />
        ))}
      </ul>
      {found.length === 0 && <p className={classes.quiet}>No tool has that in its name or description.</p>}
    </>
  );
}
