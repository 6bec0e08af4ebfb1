import "@mantine/core/styles/Kbd.css";
import { Kbd } from "@mantine/core";
import { useReactFlow } from "@xyflow/react";
import { Fragment, type RefObject, useEffect } from "react";
import { Modal } from "../../../ui/dialogs";
import { useEditor } from "../store";
import classes from "./editor.module.css";

const keys: [string, string][] = [
  ["Tab, Enter", "Go through nodes and edges, select one"],
  ["Arrows", "Move the selected nodes"],
  ["/", "Add a node: type a part of its kind, then Enter"],
  ["E", "Connect the selected node: then choose the other one"],
  ["Shift drag", "Select several"],
  ["Ctrl A", "Select everything"],
  ["Ctrl D", "Duplicate"],
  ["Delete", "Delete"],
  ["Ctrl Z", "Undo"],
  ["Ctrl Y", "Redo"],
  ["L", "Lay out from left to right"],
  ["F", "Fit to the window"],
  ["Ctrl S", "Save"],
  ["Ctrl Enter", "Run"],
  ["Esc", "Select nothing"],
  ["?", "This map"],
];

export function KeyboardMap({ opened, onClose }: { opened: boolean; onClose: () => void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="Keys">
      <dl className={classes.keys}>
        {keys.map(([key, text]) => (
          <Fragment key={key}>
            <dt>
              <Kbd>{key}</Kbd>
            </dt>
            <dd>{text}</dd>
          </Fragment>
        ))}
      </dl>
    </Modal>
  );
}

interface Commands {
  save: () => void;
  run: () => void;
  help: () => void;
  search: RefObject<HTMLInputElement | null>;
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement &&
  (target.isContentEditable || target.closest("input, textarea, select, .cm-editor, [role=dialog]") !== null);

export function useShortcuts({ save, run, help, search }: Commands): void {
  const flow = useReactFlow();
  useEffect(() => {
    const withControl: Record<string, (shift: boolean) => void> = {
      s: save,
      enter: run,
      z: (shift) => (shift ? useEditor.getState().redo() : useEditor.getState().undo()),
      y: () => useEditor.getState().redo(),
      d: () => useEditor.getState().duplicateSelected(),
      a: () => useEditor.getState().selectAll(),
    };
    const plain: Record<string, () => void> = {
      "/": () => search.current?.focus(),
      "?": help,
      f: () => void flow.fitView({ padding: 0.08, maxZoom: 1, duration: 200 }),
      l: () => {
        useEditor.getState().layout();
        requestAnimationFrame(() => void flow.fitView({ padding: 0.08, maxZoom: 1, duration: 200 }));
      },
      e: () => {
        const [only] = useEditor.getState().selection.nodes;
        if (only) useEditor.getState().setConnectFrom(only);
      },
      delete: () => useEditor.getState().removeSelected(),
      backspace: () => useEditor.getState().removeSelected(),
      escape: () => {
        useEditor.getState().setConnectFrom(null);
        useEditor.getState().select([]);
      },
    };
    const onKey = (event: KeyboardEvent) => {
      const key = event.key.toLowerCase();
      const control = event.ctrlKey || event.metaKey;
      const typing = isTyping(event.target);
      // Saving and running work from within a field too; the rest belongs to the field.
      if (typing && !(control && (key === "s" || key === "enter"))) return;
      const action = control ? withControl[key] : event.altKey ? undefined : plain[key];
      if (!action) return;
      event.preventDefault();
      action(event.shiftKey);
    };
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, [save, run, help, search, flow]);
}
