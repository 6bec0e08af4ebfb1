import { IconAlertTriangle, IconChevronDown, IconCircleCheck } from "@tabler/icons-react";
import { useReactFlow } from "@xyflow/react";
import { useState } from "react";
import type { EdgeMode, Finding } from "../../../api/aliases";
import { messageOf } from "../findings";
import { useEditor } from "../store";
import classes from "./editor.module.css";
import { modeText } from "./flow-edges";
import { EdgeSample } from "./palette";

function useJump(): (finding: Finding) => void {
  const flow = useReactFlow();
  return (finding) => {
    const editor = useEditor.getState();
    const edge = editor.history.present.edges.find((e) => e.id === finding.edge_id);
    const node = finding.node_id || edge?.source;
    if (edge && !finding.node_id) editor.select([], [edge.id]);
    else if (node) editor.select([node]);
    if (node) void flow.fitView({ nodes: [{ id: node }], maxZoom: 1, duration: 200, padding: 1 });
  };
}

/** What is wrong with the flowchart, as a list that leads to it; and what the edges mean. */
export function Problems() {
  const findings = useEditor((s) => s.findings);
  const graph = useEditor((s) => s.history.present);
  const [open, setOpen] = useState(true);
  const jump = useJump();
  const title = (f: Finding) =>
    graph.nodes.find((n) => n.id === f.node_id)?.title ?? (f.edge_id ? `Edge ${f.edge_id}` : "");
  return (
    <div className={classes.overlay}>
      {findings.length > 0 && open && (
        <ul className={classes.problems} aria-label="Problems">
          {findings.map((f) => (
            <li key={`${f.node_id} ${f.edge_id} ${f.reason} ${f.message}`}>
              <button type="button" onClick={() => jump(f)}>
                {title(f) && <b>{title(f)}</b>}
                <span>{messageOf(f)}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
      <div className={classes.strip}>
        {findings.length === 0 ? (
          <span className={classes.ok}>
            <IconCircleCheck size={15} aria-hidden /> Ready to run
          </span>
        ) : (
          <button
            type="button"
            className={classes.toggle}
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          >
            <IconAlertTriangle size={15} aria-hidden />
            {findings.length} problem{findings.length === 1 ? "" : "s"}
            <IconChevronDown
              size={14}
              aria-hidden
              style={{ transform: open ? undefined : "rotate(180deg)" }}
            />
          </button>
        )}
        <span className={classes.legend}>
          {(Object.keys(modeText) as EdgeMode[]).map((mode) => (
            <span key={mode} title={`${modeText[mode].label}: ${modeText[mode].text}`}>
              <EdgeSample mode={mode} />
              {mode === "solid" ? "starts next" : mode === "dotted" ? "context" : "attachments"}
            </span>
          ))}
        </span>
      </div>
    </div>
  );
}
