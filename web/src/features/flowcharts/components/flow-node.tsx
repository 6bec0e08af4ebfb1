import { Tooltip } from "@mantine/core";
import { IconAlertTriangleFilled } from "@tabler/icons-react";
import { Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { memo } from "react";
import type { Finding, GraphNode } from "../../../api/aliases";
import { lookOf, StatusIcon } from "../../../ui/status";
import { kindLooks } from "../kinds";
import { summary } from "../model";
import classes from "./flow.module.css";

export interface FlowNodeData extends Record<string, unknown> {
  node: GraphNode;
  findings: Finding[];
  /** Of a run: how the node is doing. */
  status?: string;
  /** Of a run: what the card says below the title instead of its summary. */
  line?: string;
  executions?: number;
  editable: boolean;
}

export type FlowNode = Node<FlowNodeData, "flow">;

function FlowNodeCard({ data, selected }: NodeProps<FlowNode>) {
  const { node, findings, status } = data;
  const look = kindLooks[node.kind];
  const Icon = look.icon;
  const color = status ? lookOf(status).color : undefined;
  return (
    <div
      className={classes.node}
      data-selected={selected || undefined}
      data-status={status}
      data-tint={look.tint}
      style={color ? { borderColor: color } : undefined}
    >
      {node.kind !== "start" && (
        <Handle
          type="target"
          position={Position.Left}
          className={classes.handle}
          isConnectable={data.editable}
        />
      )}
      <span className={classes.kind} aria-hidden>
        <Icon size={18} stroke={1.7} />
      </span>
      <span className={classes.text}>
        <b>{node.title || look.label}</b>
        <small>{data.line ?? summary(node)}</small>
      </span>
      {status && (
        <span className={classes.state}>
          {(data.executions ?? 0) > 1 && <i>×{data.executions}</i>}
          <StatusIcon status={status} />
        </span>
      )}
      {findings.length > 0 && (
        <Tooltip label={findings.map((f) => f.message).join("\n")} style={{ whiteSpace: "pre-line" }}>
          <span className={classes.badge} role="img" aria-label={`${findings.length} problems`}>
            <IconAlertTriangleFilled size={14} />
          </span>
        </Tooltip>
      )}
      {node.kind !== "end" && (
        <Handle
          type="source"
          position={Position.Right}
          className={classes.handle}
          isConnectable={data.editable}
        />
      )}
    </div>
  );
}

export const nodeTypes = { flow: memo(FlowNodeCard) };
