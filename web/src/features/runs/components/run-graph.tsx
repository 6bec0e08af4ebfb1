import "@xyflow/react/dist/style.css";
import {
  Background,
  BackgroundVariant,
  Controls,
  type Edge,
  ReactFlow,
  ReactFlowProvider,
} from "@xyflow/react";
import { useMemo, useRef } from "react";
import type { Graph, GraphNode, NodeRun } from "../../../api/aliases";
import { lookOf } from "../../../ui/status";
import flow from "../../flowcharts/components/flow.module.css";
import { edgeLabels, toFlowEdge } from "../../flowcharts/components/flow-edges";
import { type FlowNode, nodeTypes } from "../../flowcharts/components/flow-node";
import { useFar } from "../../flowcharts/components/use-far";
import { useMoving } from "../../flowcharts/components/use-moving";
import { nodeSize } from "../../flowcharts/model";
import { latestByNode, shownStatus } from "../model";
import { executionModeOf, stageLabel } from "../stages";

interface Props {
  graph: Graph;
  nodeRuns: NodeRun[];
  /** The run has ended: what has not run will not. */
  ended: boolean;
  /** The run is pausing or paused: what waits is held. */
  held: boolean;
  selected: string | null;
  onSelect: (flowchartNodeId: string) => void;
  /** A menu was asked for at a place of the screen. */
  onMenu: (flowchartNodeId: string, x: number, y: number) => void;
}

function lineOf(run: NodeRun, node: GraphNode, held: boolean): string {
  if (run.error) return run.error.message;
  if (run.status === "running" && run.current_stage)
    return stageLabel(run.current_stage, executionModeOf(node));
  const again = run.attempt > 1 ? `, try ${run.attempt}` : "";
  return lookOf(shownStatus(run, held)).label + again;
}

function toNodes({ graph, nodeRuns, ended, held, selected }: Omit<Props, "onSelect" | "onMenu">): FlowNode[] {
  const latest = latestByNode(nodeRuns);
  const executions = new Map<string, number>();
  for (const run of nodeRuns)
    executions.set(run.flowchart_node_id, (executions.get(run.flowchart_node_id) ?? 0) + 1);
  return graph.nodes.map((node): FlowNode => {
    const run = latest.get(node.id);
    return {
      id: node.id,
      type: "flow",
      position: node.position,
      selected: node.id === selected,
      draggable: false,
      connectable: false,
      ...nodeSize,
      measured: nodeSize,
      ariaLabel: `${node.title || node.kind}: ${run ? lookOf(shownStatus(run, held)).label : "not run"}`,
      data: {
        node,
        findings: [],
        editable: false,
        executions: executions.get(node.id) ?? 0,
        ...(run && { status: shownStatus(run, held), line: lineOf(run, node, held) }),
        ...(!run && ended && { line: "Not run" }),
      },
    };
  });
}

function toEdges(graph: Graph, nodeRuns: NodeRun[]): Edge[] {
  const latest = latestByNode(nodeRuns);
  const labels = edgeLabels(graph);
  return graph.edges.map((edge) => {
    const from = latest.get(edge.source);
    const to = latest.get(edge.target);
    const passed = from?.status === "succeeded" || from?.status === "degraded";
    const taken = passed && to !== undefined && to.status !== "skipped";
    const flowing = taken && (to.status === "running" || to.status === "queued");
    const done = to && shownStatus(to) === "reused" ? "var(--st-cached)" : "var(--st-succeeded)";
    const color = flowing ? "var(--st-running)" : taken ? done : undefined;
    return toFlowEdge(edge, labels.get(edge.id), { color, animated: flowing, faint: !taken });
  });
}

/** The graph of the version that runs, coloured by how its nodes do. */
export function RunGraph(props: Props) {
  return (
    <ReactFlowProvider>
      <Graphic {...props} />
    </ReactFlowProvider>
  );
}

function Graphic({ graph, nodeRuns, ended, held, selected, onSelect, onMenu }: Props) {
  const far = useFar();
  const frame = useRef<HTMLDivElement>(null);
  const moving = useMoving(frame);
  const nodes = useMemo(
    () => toNodes({ graph, nodeRuns, ended, held, selected }),
    [graph, nodeRuns, ended, held, selected],
  );
  const edges = useMemo(() => toEdges(graph, nodeRuns), [graph, nodeRuns]);
  return (
    <div
      ref={frame}
      className={flow.flow}
      data-readonly
      data-far={far || undefined}
      style={{ height: "100%" }}
    >
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        {...moving}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        onNodeContextMenu={(event, node) => {
          event.preventDefault();
          // From the keyboard it comes without a place of its own.
          const box = event.currentTarget.getBoundingClientRect();
          const key = event.clientX === 0 && event.clientY === 0;
          onMenu(node.id, key ? box.left + 24 : event.clientX, key ? box.bottom : event.clientY);
        }}
        deleteKeyCode={null}
        onNodesChange={(changes) => {
          for (const change of changes) if (change.type === "select" && change.selected) onSelect(change.id);
        }}
        minZoom={0.1}
        maxZoom={1.5}
        fitView
        fitViewOptions={{ padding: 0.06, maxZoom: 1 }}
        onlyRenderVisibleElements={nodes.length > 150}
      >
        {!far && <Background variant={BackgroundVariant.Dots} gap={20} size={1.4} />}
        <Controls showInteractive={false} position="bottom-left" orientation="horizontal" />
      </ReactFlow>
    </div>
  );
}
