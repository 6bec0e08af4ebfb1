import "@xyflow/react/dist/style.css";
import {
  Background,
  BackgroundVariant,
  Controls,
  type Edge,
  type EdgeChange,
  MiniMap,
  type NodeChange,
  Panel,
  ReactFlow,
  useReactFlow,
} from "@xyflow/react";
import { type DragEvent, type ReactNode, useCallback, useMemo, useRef } from "react";
import type { Finding, GraphEdge, GraphNode, NodeKind } from "../../../api/aliases";
import { findingsByNode, nodeSize, type Point } from "../model";
import { useEditor } from "../store";
import classes from "./flow.module.css";
import { edgeLabels, toFlowEdge } from "./flow-edges";
import { type FlowNode, nodeTypes } from "./flow-node";
import { useFar } from "./use-far";
import { useMoving } from "./use-moving";

export const dragType = "application/x-studio-node";
const noFindings: Finding[] = [];

// The same flow node for the same graph node, so that only what changed renders.
function useFlowNodes(): FlowNode[] {
  const graph = useEditor((s) => s.history.present);
  const selected = useEditor((s) => s.selection.nodes);
  const findings = useEditor((s) => s.findings);
  const made = useRef(new Map<string, { node: GraphNode; flow: FlowNode }>());
  return useMemo(() => {
    const problems = findingsByNode(findings, graph);
    const next = new Map<string, { node: GraphNode; flow: FlowNode }>();
    const list = graph.nodes.map((node) => {
      const mine = problems.get(node.id) ?? noFindings;
      const isSelected = selected.has(node.id);
      const known = made.current.get(node.id);
      const same =
        known &&
        known.node === node &&
        known.flow.selected === isSelected &&
        sameFindings(known.flow.data.findings, mine);
      const flow: FlowNode = same
        ? known.flow
        : {
            id: node.id,
            type: "flow",
            position: node.position,
            selected: isSelected,
            data: { node, findings: mine, editable: true },
            ...nodeSize,
            measured: nodeSize,
            ariaLabel: `${node.title || node.kind}, ${node.kind}`,
          };
      next.set(node.id, { node, flow });
      return flow;
    });
    made.current = next;
    return list;
  }, [graph, selected, findings]);
}

const sameFindings = (a: Finding[], b: Finding[]): boolean =>
  a === b || (a.length === b.length && a.every((f, i) => f.message === b[i]?.message));

interface MadeEdge {
  edge: GraphEdge;
  label: string | undefined;
  flow: Edge;
}

// The same for edges: moving a node renders the edges at it, not all of them.
function useFlowEdges(): Edge[] {
  const graph = useEditor((s) => s.history.present);
  const selected = useEditor((s) => s.selection.edges);
  const made = useRef<{ list: Edge[]; byId: Map<string, MadeEdge> }>({ list: [], byId: new Map() });
  return useMemo(() => {
    const labels = edgeLabels(graph);
    const byId = new Map<string, MadeEdge>();
    let same = graph.edges.length === made.current.list.length;
    const list = graph.edges.map((edge, i) => {
      const label = labels.get(edge.id);
      const known = made.current.byId.get(edge.id);
      const isSelected = selected.has(edge.id);
      const keep = known?.edge === edge && known.label === label && known.flow.selected === isSelected;
      const flow = keep ? known.flow : toFlowEdge(edge, label, { selected: isSelected });
      byId.set(edge.id, { edge, label, flow });
      if (made.current.list[i] !== flow) same = false;
      return flow;
    });
    made.current = { list: same ? made.current.list : list, byId };
    return made.current.list;
  }, [graph, selected]);
}

function useChanges() {
  const onNodesChange = useCallback((changes: NodeChange<FlowNode>[]) => {
    const editor = useEditor.getState();
    const positions = new Map<string, Point>();
    const nodes = new Set(editor.selection.nodes);
    let selecting = false;
    let ended = false;
    for (const change of changes) {
      if (change.type === "position") {
        if (change.position) positions.set(change.id, change.position);
        if (!change.dragging) ended = true;
      } else if (change.type === "select") {
        selecting = true;
        if (change.selected) nodes.add(change.id);
        else nodes.delete(change.id);
      }
    }
    if (positions.size > 0) editor.move(positions);
    if (ended) editor.endMove();
    if (!selecting) return;
    const from = editor.connectFrom;
    const to = [...nodes].find((id) => id !== from && !editor.selection.nodes.has(id));
    if (from && to) {
      editor.connect(from, to);
      editor.setConnectFrom(null);
    }
    editor.select(nodes, editor.selection.edges);
  }, []);
  const onEdgesChange = useCallback((changes: EdgeChange[]) => {
    const editor = useEditor.getState();
    const edges = new Set(editor.selection.edges);
    for (const change of changes) {
      if (change.type !== "select") continue;
      if (change.selected) edges.add(change.id);
      else edges.delete(change.id);
    }
    editor.select(editor.selection.nodes, edges);
  }, []);
  return { onNodesChange, onEdgesChange };
}

const isKind = (value: string): value is NodeKind =>
  ["start", "task", "decision", "http", "script", "end"].includes(value);

export function Canvas({ children, onRefused }: { children?: ReactNode; onRefused: (why: string) => void }) {
  const nodes = useFlowNodes();
  const edges = useFlowEdges();
  const changes = useChanges();
  const flow = useReactFlow();
  const far = useFar();
  const frame = useRef<HTMLDivElement>(null);
  const moving = useMoving(frame);

  const onDrop = (event: DragEvent) => {
    const kind = event.dataTransfer.getData(dragType);
    if (!isKind(kind)) return;
    event.preventDefault();
    const at = flow.screenToFlowPosition({ x: event.clientX, y: event.clientY });
    useEditor.getState().add(kind, { x: at.x - nodeSize.width / 2, y: at.y - nodeSize.height / 2 });
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: a drop target; adding works by keyboard through the palette
    <div
      ref={frame}
      className={classes.flow}
      data-far={far || undefined}
      onDragOver={(e) => {
        if (e.dataTransfer.types.includes(dragType)) e.preventDefault();
      }}
      onDrop={onDrop}
    >
      <ReactFlow
        nodes={nodes}
        edges={edges}
        nodeTypes={nodeTypes}
        {...changes}
        {...moving}
        onConnect={({ source, target }) => {
          const why = useEditor.getState().connect(source, target);
          if (why) onRefused(why);
        }}
        connectionRadius={28}
        snapToGrid
        snapGrid={[10, 10]}
        minZoom={0.1}
        maxZoom={2}
        fitView
        fitViewOptions={{ padding: 0.08, maxZoom: 1 }}
        deleteKeyCode={null}
        multiSelectionKeyCode={["Shift", "Control", "Meta"]}
        selectionKeyCode="Shift"
        onlyRenderVisibleElements={nodes.length > 150}
        elevateNodesOnSelect={false}
      >
        {!far && <Background variant={BackgroundVariant.Dots} gap={20} size={1.4} />}
        <Controls showInteractive={false} position="top-right" orientation="horizontal" />
        <MiniMap
          pannable
          zoomable
          position="bottom-right"
          nodeBorderRadius={6}
          style={{ width: 160, height: 104 }}
        />
        {children && <Panel position="bottom-left">{children}</Panel>}
      </ReactFlow>
    </div>
  );
}
