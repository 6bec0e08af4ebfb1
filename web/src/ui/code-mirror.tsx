import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { EditorState, type Extension } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  EditorView,
  keymap,
  MatchDecorator,
  placeholder,
  ViewPlugin,
  type ViewUpdate,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "react";

const colors = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--st-cached)" },
  { tag: tags.string, color: "var(--st-succeeded)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--st-waiting)" },
]);

const look = EditorView.theme({
  "&": { fontSize: "12.5px", backgroundColor: "transparent", color: "var(--st-text)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--st-mono)", lineHeight: "1.55" },
  ".cm-content": { padding: "6px 0", caretColor: "var(--st-accent)" },
  ".cm-line": { padding: "0 8px" },
  ".cm-cursor": { borderLeftColor: "var(--st-accent)" },
  ".cm-placeholder": { color: "var(--st-muted)" },
  ".cm-template": {
    color: "var(--st-accent-text)",
    backgroundColor: "var(--st-accent-soft)",
    borderRadius: "3px",
  },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": {
    backgroundColor: "var(--st-accent-soft) !important",
  },
});

// {{ expressions }} in a text stand out.
const templateMatcher = new MatchDecorator({
  regexp: /\{\{.*?\}\}/g,
  decoration: Decoration.mark({ class: "cm-template" }),
});

const templates = ViewPlugin.fromClass(
  class {
    decorations: DecorationSet;
    constructor(view: EditorView) {
      this.decorations = templateMatcher.createDeco(view);
    }
    update(update: ViewUpdate) {
      this.decorations = templateMatcher.updateDeco(update, this.decorations);
    }
  },
  { decorations: (plugin) => plugin.decorations },
);

interface Props {
  label: string;
  value: string;
  language: "json" | "text";
  minHeight: number;
  placeholder?: string | undefined;
  readOnly?: boolean | undefined;
  onChange: (value: string) => void;
}

const maxHeight = 420;

export function CodeMirror({
  label,
  value,
  language,
  minHeight,
  placeholder: hint,
  readOnly = false,
  onChange,
}: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useRef(onChange);
  latest.current = onChange;
  const first = useRef(value);

  useEffect(() => {
    if (!host.current) return;
    const extensions: Extension[] = [
      history(),
      keymap.of([...defaultKeymap, ...historyKeymap]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": label }),
      EditorView.theme({
        ".cm-scroller": { minHeight: `${minHeight}px`, maxHeight: `${maxHeight}px`, overflow: "auto" },
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) latest.current(update.state.doc.toString());
      }),
      EditorState.readOnly.of(readOnly),
      syntaxHighlighting(colors),
      look,
      language === "json" ? [json(), bracketMatching()] : templates,
      hint ? placeholder(hint) : [],
    ];
    const editor = new EditorView({ parent: host.current, doc: first.current, extensions });
    view.current = editor;
    return () => {
      first.current = editor.state.doc.toString();
      editor.destroy();
      view.current = null;
    };
  }, [label, language, minHeight, hint, readOnly]);

  useEffect(() => {
    const editor = view.current;
    if (!editor || editor.state.doc.toString() === value) return;
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } });
  }, [value]);

  return <div ref={host} />;
}
