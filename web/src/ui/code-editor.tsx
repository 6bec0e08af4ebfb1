import { lazy, type ReactNode, Suspense, useEffect, useId, useState } from "react";
import type { Json } from "../api/aliases";
import classes from "./code-editor.module.css";
import { Input } from "./inputs";

const Editor = lazy(() => import("./code-mirror").then((m) => ({ default: m.CodeMirror })));

export interface CodeFieldProps {
  label: string;
  description?: ReactNode;
  error?: ReactNode;
  value: string;
  language?: "json" | "text";
  placeholder?: string;
  minHeight?: number;
  readOnly?: boolean;
  onChange: (value: string) => void;
}

/** A labelled editor for prompts, expressions, scripts and JSON. */
export function CodeField({
  label,
  description,
  error,
  minHeight = 72,
  language = "text",
  ...editor
}: CodeFieldProps) {
  const id = useId();
  return (
    <Input.Wrapper label={label} description={description} error={error} labelElement="div" id={id}>
      <div className={classes.frame} data-error={error ? true : undefined} style={{ minHeight }}>
        <Suspense fallback={<pre className={classes.waiting}>{editor.value}</pre>}>
          <Editor {...editor} label={label} language={language} minHeight={minHeight} />
        </Suspense>
      </div>
    </Input.Wrapper>
  );
}

interface JsonFieldProps extends Omit<CodeFieldProps, "value" | "onChange" | "language"> {
  value: Json | undefined;
  /** Called with what was written once it is JSON; undefined when it is empty. */
  onChange: (value: Json | undefined) => void;
}

const format = (value: Json | undefined): string =>
  value === undefined ? "" : JSON.stringify(value, null, 2);

export function parseJson(text: string): { value: Json | undefined } | { fault: string } {
  if (text.trim() === "") return { value: undefined };
  try {
    const value: Json = JSON.parse(text);
    return { value };
  } catch (error) {
    return { fault: error instanceof Error ? error.message : "This is not JSON." };
  }
}

export function JsonField({ value, onChange, error, ...rest }: JsonFieldProps) {
  const [text, setText] = useState(() => format(value));
  const [fault, setFault] = useState<string | null>(null);
  const outside = format(value);
  // Undo and redo change the value from outside; typing must not be reformatted.
  useEffect(() => {
    setText((current) => {
      const parsed = parseJson(current);
      return "value" in parsed && format(parsed.value) === outside ? current : outside;
    });
    setFault(null);
  }, [outside]);
  const change = (next: string) => {
    setText(next);
    const parsed = parseJson(next);
    if ("fault" in parsed) {
      setFault(parsed.fault);
      return;
    }
    setFault(null);
    if (format(parsed.value) !== outside) onChange(parsed.value);
  };
  return <CodeField {...rest} language="json" value={text} onChange={change} error={fault ?? error} />;
}
