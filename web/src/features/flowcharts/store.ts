// The state of the open flow editor. The server's copy lives in the query cache.

import { create } from "zustand";
import type { EdgeMode, Finding, Graph, Json, JsonObject, NodeKind, Validation } from "../../api/aliases";
import { autoLayout } from "./layout";
import {
  addNode,
  commit,
  connect,
  duplicate,
  type History,
  moveNodes,
  newHistory,
  type Point,
  redo,
  refusal,
  remove,
  setConfig,
  setEdgeMode,
  settle,
  undo,
  updateNode,
} from "./model";

export interface Selection {
  nodes: ReadonlySet<string>;
  edges: ReadonlySet<string>;
}

const nothing: ReadonlySet<string> = new Set();

interface EditorState {
  flowchartId: number;
  history: History;
  saved: Graph;
  etag: string | null;
  version: number;
  findings: Finding[];
  selection: Selection;
  edgeMode: EdgeMode;
  /** The node that the keyboard is connecting from. */
  connectFrom: string | null;
}

interface EditorActions {
  open: (
    flowchartId: number,
    graph: Graph,
    version: number,
    etag: string | null,
    validation: Validation,
  ) => void;
  markSaved: (graph: Graph, version: number, etag: string | null, validation: Validation) => void;
  setFindings: (findings: Finding[]) => void;
  select: (nodes: Iterable<string>, edges?: Iterable<string>) => void;
  add: (kind: NodeKind, at: Point) => string;
  move: (positions: ReadonlyMap<string, Point>) => void;
  endMove: () => void;
  setTitle: (id: string, title: string) => void;
  setConfig: (id: string, key: string, value: Json | undefined) => void;
  replaceConfig: (id: string, config: JsonObject) => void;
  connect: (source: string, target: string) => string | null;
  setMode: (edgeId: string, mode: EdgeMode) => void;
  setEdgeMode: (mode: EdgeMode) => void;
  setConnectFrom: (id: string | null) => void;
  removeSelected: () => void;
  duplicateSelected: () => void;
  selectAll: () => void;
  layout: () => void;
  undo: () => void;
  redo: () => void;
}

export type Editor = EditorState & EditorActions;

const empty: Graph = { nodes: [], edges: [] };

const initial: EditorState = {
  flowchartId: 0,
  history: newHistory(empty),
  saved: empty,
  etag: null,
  version: 0,
  findings: [],
  selection: { nodes: nothing, edges: nothing },
  edgeMode: "solid",
  connectFrom: null,
};

// What was undone may take selected things away.
function existing(selection: Selection, graph: Graph): Selection {
  const nodes = new Set(graph.nodes.map((n) => n.id));
  const edges = new Set(graph.edges.map((e) => e.id));
  const kept = (of: ReadonlySet<string>, known: ReadonlySet<string>) =>
    new Set([...of].filter((id) => known.has(id)));
  return { nodes: kept(selection.nodes, nodes), edges: kept(selection.edges, edges) };
}

export const useEditor = create<Editor>()((set, get) => {
  const graph = () => get().history.present;
  const change = (next: Graph, tag: string | null = null) =>
    set((s) => ({ history: commit(s.history, next, tag) }));
  const travel = (to: (history: History) => History) =>
    set((s) => {
      const history = to(s.history);
      return { history, selection: existing(s.selection, history.present) };
    });
  return {
    ...initial,
    open: (flowchartId, opened, version, etag, validation) =>
      set({
        ...initial,
        flowchartId,
        history: newHistory(opened),
        saved: opened,
        version,
        etag,
        findings: validation.errors,
      }),
    markSaved: (saved, version, etag, validation) =>
      set((s) => ({ saved, version, etag, findings: validation.errors, history: settle(s.history) })),
    setFindings: (findings) => set({ findings }),
    select: (nodes, edges = nothing) => set({ selection: { nodes: new Set(nodes), edges: new Set(edges) } }),
    add: (kind, at) => {
      const added = addNode(graph(), kind, at);
      change(added.graph);
      get().select([added.id]);
      return added.id;
    },
    move: (positions) => change(moveNodes(graph(), positions), "move"),
    endMove: () => set((s) => ({ history: settle(s.history) })),
    setTitle: (id, title) => change(updateNode(graph(), id, { title }), `title ${id}`),
    setConfig: (id, key, value) => change(setConfig(graph(), id, key, value), `config ${id} ${key}`),
    replaceConfig: (id, config) => change(updateNode(graph(), id, { config }), `config ${id}`),
    connect: (source, target) => {
      const why = refusal(graph(), source, target, get().edgeMode);
      if (!why) change(connect(graph(), source, target, get().edgeMode));
      return why;
    },
    setMode: (edgeId, mode) => change(setEdgeMode(graph(), edgeId, mode)),
    setEdgeMode: (edgeMode) => set({ edgeMode }),
    setConnectFrom: (connectFrom) => set({ connectFrom }),
    removeSelected: () => {
      const { nodes, edges } = get().selection;
      change(remove(graph(), nodes, edges));
      get().select([]);
    },
    duplicateSelected: () => {
      const made = duplicate(graph(), get().selection.nodes);
      if (made.copies.size === 0) return;
      change(made.graph);
      get().select(made.copies);
    },
    selectAll: () =>
      get().select(
        graph().nodes.map((n) => n.id),
        graph().edges.map((e) => e.id),
      ),
    layout: () => change(autoLayout(graph())),
    undo: () => travel(undo),
    redo: () => travel(redo),
  };
});

export const isDirty = (s: EditorState): boolean => s.history.present !== s.saved;
