import { Anchor, Tooltip } from "@mantine/core";
import type { FlowchartRun } from "../../../api/aliases";
import { CopyButton } from "../../../ui/feedback";

/** A traced run's trace: its id to copy, and a link if the server knows where traces are looked at. */
export function TraceLink({ run }: { run: FlowchartRun }) {
  if (!run.trace_id) return null;
  const short = `Trace ${run.trace_id.slice(0, 8)}`;
  return (
    <span style={{ display: "inline-flex", alignItems: "center", gap: 4, fontSize: 13 }}>
      <Tooltip label={run.trace_id}>
        {run.trace_url ? (
          <Anchor href={run.trace_url} target="_blank" rel="noreferrer" fz={13}>
            {short}
          </Anchor>
        ) : (
          <span>{short}</span>
        )}
      </Tooltip>
      <CopyButton text={run.trace_id} label="Copy trace id" />
    </span>
  );
}
