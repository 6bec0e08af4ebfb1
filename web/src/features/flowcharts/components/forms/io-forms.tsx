import type { Json } from "../../../../api/aliases";
import { CodeField, JsonField } from "../../../../ui/code-editor";
import { SegmentedControl, Select, TextInput } from "../../../../ui/inputs";
import { errorOf } from "../../findings";
import classes from "../editor.module.css";
import { Fold, type FormProps, Pairs, textOf, useSet } from "./common";

export const httpKeys = [
  "method",
  "url",
  "headers",
  "body",
  "expect_status",
  "retry",
  "timeout_seconds",
  "fan_in",
];
export const scriptKeys = [
  "command",
  "script",
  "shell",
  "env",
  "stdin",
  "retry",
  "timeout_seconds",
  "fan_in",
];
export const startKeys = ["input_schema"];

const bodyText = (value: Json | undefined): string =>
  value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);

// 200, or several.
function readStatus(text: string): Json | undefined {
  const codes = text
    .split(/[\s,]+/)
    .filter(Boolean)
    .map(Number)
    .filter((n) => Number.isInteger(n) && n >= 100 && n <= 599);
  if (codes.length === 0) return undefined;
  return codes.length === 1 ? (codes[0] ?? null) : codes;
}

export function HttpForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const expected = node.config.expect_status;
  return (
    <>
      <div className={classes.pair} style={{ gridTemplateColumns: "104px 1fr" }}>
        <Select
          label="Method"
          allowDeselect={false}
          data={["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]}
          value={textOf(node, "method") || "GET"}
          error={errorOf(findings, "method")}
          onChange={(value) => set("method", value ?? "GET")}
        />
        <TextInput
          label="URL"
          placeholder="https://example.com/items/{{ input.id }}"
          value={textOf(node, "url")}
          error={errorOf(findings, "url")}
          onChange={(e) => set("url", e.currentTarget.value)}
        />
      </div>
      <Pairs
        label="Headers"
        names={["Name", "Value"]}
        value={node.config.headers}
        onChange={(v) => set("headers", v)}
      />
      <CodeField
        label="Body"
        description="Text with {{ expressions }}."
        value={bodyText(node.config.body)}
        error={errorOf(findings, "body")}
        onChange={(value) => set("body", value === "" ? undefined : value)}
      />
      <TextInput
        label="Expected status"
        placeholder="200, 201"
        description="Another status makes the node fail."
        error={errorOf(findings, "expect_status")}
        defaultValue={
          Array.isArray(expected) ? expected.join(", ") : typeof expected === "number" ? String(expected) : ""
        }
        key={node.id}
        onBlur={(e) => set("expect_status", readStatus(e.currentTarget.value))}
      />
    </>
  );
}

export function ScriptForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const command = node.config.command;
  const isCommand = Array.isArray(command);
  const choose = (value: string) => {
    if (value === "command") {
      set("script", undefined);
      set("shell", undefined);
      set("command", []);
    } else {
      set("command", undefined);
      set("script", "");
      set("shell", "sh");
    }
  };
  return (
    <>
      <SegmentedControl
        size="xs"
        fullWidth
        aria-label="What is run"
        value={isCommand ? "command" : "script"}
        onChange={choose}
        data={[
          { value: "script", label: "Script" },
          { value: "command", label: "Command" },
        ]}
      />
      {isCommand ? (
        <CodeField
          label="Command"
          description="One argument per line; the first is the program."
          value={command.map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join("\n")}
          error={errorOf(findings, "command")}
          onChange={(value) => set("command", value === "" ? [] : value.split("\n"))}
        />
      ) : (
        <>
          <CodeField
            label="Script"
            minHeight={132}
            placeholder={'echo "{{ input.text }}"'}
            value={textOf(node, "script")}
            error={errorOf(findings, "script")}
            onChange={(value) => set("script", value)}
          />
          <TextInput
            label="Shell"
            placeholder="sh"
            value={textOf(node, "shell")}
            error={errorOf(findings, "shell")}
            onChange={(e) => set("shell", e.currentTarget.value === "" ? undefined : e.currentTarget.value)}
          />
        </>
      )}
      <Fold title="Environment and input" open={Boolean(node.config.env || node.config.stdin)}>
        <Pairs
          label="Environment"
          names={["NAME", "Value"]}
          value={node.config.env}
          onChange={(v) => set("env", v)}
        />
        <CodeField
          label="Standard input"
          value={textOf(node, "stdin")}
          error={errorOf(findings, "stdin")}
          onChange={(value) => set("stdin", value === "" ? undefined : value)}
        />
      </Fold>
    </>
  );
}

export function StartForm({ node, findings }: FormProps) {
  const set = useSet(node);
  return (
    <JsonField
      label="Input's JSON Schema"
      description="Checks the input of each run and gives the form to start one. Optional."
      placeholder={'{"type": "object", "properties": {"text": {"type": "string"}}}'}
      minHeight={160}
      value={node.config.input_schema}
      error={errorOf(findings, "input_schema")}
      onChange={(value) => set("input_schema", value)}
    />
  );
}
