import { Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useReactFlow } from "@xyflow/react";
import { type RefObject, useState } from "react";
import type { EdgeMode, NodeKind } from "../../../api/aliases";
import { TextInput } from "../../../ui/inputs";
import { healthQuery } from "../../sources/api";
import { refusalOf } from "../../sources/health";
import { kindLooks, paletteKinds } from "../kinds";
import { nodeSize, type Point } from "../model";
import { useEditor } from "../store";
import { dragType } from "./canvas";
import classes from "./editor.module.css";
import { modeText } from "./flow-edges";

const gap = 84;

/** Where a node goes that is added without a pointer: after the selected one, else in the middle. */
export function useAddNode(): (kind: NodeKind) => void {
  const flow = useReactFlow();
  return (kind) => {
    const editor = useEditor.getState();
    const graph = editor.history.present;
    const [only, ...others] = editor.selection.nodes;
    const after = others.length === 0 ? graph.nodes.find((n) => n.id === only) : undefined;
    const pane = document.querySelector(".react-flow")?.getBoundingClientRect();
    let at: Point = after
      ? { x: after.position.x + nodeSize.width + gap, y: after.position.y }
      : flow.screenToFlowPosition({
          x: (pane?.x ?? 0) + (pane?.width ?? 800) / 2,
          y: (pane?.y ?? 0) + (pane?.height ?? 600) / 2,
        });
    // Not on top of another one.
    while (
      graph.nodes.some((n) => Math.abs(n.position.x - at.x) < 40 && Math.abs(n.position.y - at.y) < 40)
    ) {
      at = { x: at.x, y: at.y + nodeSize.height + 28 };
    }
    editor.add(kind, { x: Math.round(at.x / 10) * 10, y: Math.round(at.y / 10) * 10 });
  };
}

export function Palette({ search }: { search: RefObject<HTMLInputElement | null> }) {
  const [filter, setFilter] = useState("");
  const hasStart = useEditor((s) => s.history.present.nodes.some((n) => n.kind === "start"));
  const mode = useEditor((s) => s.edgeMode);
  const setMode = useEditor((s) => s.setEdgeMode);
  const add = useAddNode();
  const shown = paletteKinds.filter((kind) =>
    kindLooks[kind].label.toLowerCase().includes(filter.trim().toLowerCase()),
  );
  const health = useQuery(healthQuery);
  const refusals: Partial<Record<NodeKind, string | null>> = {
    start: hasStart ? "A flowchart has one start node." : null,
    rag: refusalOf(health.data),
  };
  const allowed = (kind: NodeKind) => !refusals[kind];
  const choose = (kind: NodeKind | undefined) => {
    if (!kind || !allowed(kind)) return;
    add(kind);
    setFilter("");
    search.current?.blur();
  };
  return (
    <aside className={classes.palette} aria-label="Nodes to add">
      <TextInput
        ref={search}
        size="xs"
        aria-label="Add a node"
        placeholder="Add a node  /"
        className={classes.paletteSearch}
        value={filter}
        onChange={(e) => setFilter(e.currentTarget.value)}
        onKeyDown={(e) => {
          if (e.key === "Enter") choose(shown.find(allowed));
          if (e.key === "Escape") e.currentTarget.blur();
        }}
      />
      <div className={classes.items}>
        {shown.map((kind) => {
          const look = kindLooks[kind];
          const Icon = look.icon;
          return (
            <Tooltip key={kind} label={refusals[kind] ?? look.text} position="right">
              <button
                type="button"
                className={classes.item}
                data-tint={look.tint}
                aria-label={`Add ${look.label}`}
                draggable={allowed(kind)}
                // Not disabled as such: why it cannot be added is to be read, also by keyboard.
                aria-disabled={!allowed(kind)}
                data-disabled={!allowed(kind) || undefined}
                aria-description={refusals[kind] ?? undefined}
                onDragStart={(e) => {
                  e.dataTransfer.setData(dragType, kind);
                  e.dataTransfer.effectAllowed = "copy";
                }}
                onClick={() => choose(kind)}
              >
                <Icon size={17} stroke={1.7} aria-hidden />
                <span>{look.label}</span>
              </button>
            </Tooltip>
          );
        })}
        {refusals.rag && (
          <p className={classes.refused}>
            Retrieval: {refusals.rag} <Link to="/sources">Sources</Link>
          </p>
        )}
      </div>
      <fieldset className={classes.modes}>
        <legend>New edges</legend>
        {(Object.keys(modeText) as EdgeMode[]).map((m) => (
          <Tooltip key={m} label={`${modeText[m].label}: ${modeText[m].text}.`} position="right">
            <label data-checked={m === mode || undefined}>
              <input type="radio" name="edge-mode" checked={m === mode} onChange={() => setMode(m)} />
              <EdgeSample mode={m} />
              <span>{modeText[m].label}</span>
            </label>
          </Tooltip>
        ))}
      </fieldset>
    </aside>
  );
}

export function EdgeSample({ mode }: { mode: EdgeMode }) {
  return <span aria-hidden className={classes.sample} data-mode={mode} />;
}
