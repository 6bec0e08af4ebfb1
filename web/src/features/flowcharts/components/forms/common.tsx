import type { ReactNode } from "react";
import { type Finding, type GraphNode, isObject, type Json, type JsonObject } from "../../../../api/aliases";
import { NumberInput, Select, TextInput } from "../../../../ui/inputs";
import { errorOf } from "../../findings";
import { useEditor } from "../../store";
import classes from "../editor.module.css";

export interface FormProps {
  node: GraphNode;
  findings: Finding[];
}

export const textOf = (node: GraphNode, key: string): string => {
  const value = node.config[key];
  return typeof value === "string" ? value : "";
};

export const objectOf = (value: Json | undefined): JsonObject => (isObject(value) ? value : {});

/** Sets a config member of the node; empty text removes it where emptyRemoves. */
export function useSet(node: GraphNode): (key: string, value: Json | undefined) => void {
  const set = useEditor((s) => s.setConfig);
  return (key, value) => set(node.id, key, value);
}

export function Fold({
  title,
  open = false,
  children,
}: {
  title: string;
  open?: boolean;
  children: ReactNode;
}) {
  return (
    <details className={classes.fold} open={open}>
      <summary>{title}</summary>
      <div className={classes.foldBody}>{children}</div>
    </details>
  );
}

function fanInValue(value: Json | undefined): "all" | "any" | "some" {
  if (value === "any") return "any";
  return typeof value === "number" ? "some" : "all";
}

/** What holds when no time limit is set, where that is not the one of all nodes. */
function timeHelp(node: GraphNode): string | undefined {
  if (node.kind !== "rag" || (node.config.mode ?? "query") === "query") return undefined;
  return "Without one: 24 hours; the attempt ends earlier when nothing happens for 30 minutes.";
}

/** Waiting for parents, retries and the time limit: the same for every kind. */
export function HowItRuns({ node, findings }: FormProps) {
  const set = useSet(node);
  const retry = objectOf(node.config.retry);
  const fanIn = node.config.fan_in;
  const choice = fanInValue(fanIn);
  const setRetry = (key: "max_attempts" | "backoff_seconds", value: number | string) => {
    const next: JsonObject = { max_attempts: 1, backoff_seconds: 0, ...retry };
    next[key] = typeof value === "number" ? value : key === "max_attempts" ? 1 : 0;
    set("retry", next.max_attempts === 1 && next.backoff_seconds === 0 ? undefined : next);
  };
  const number = (value: Json | undefined): number | "" => (typeof value === "number" ? value : "");
  return (
    <Fold title="How it runs" open={Boolean(node.config.retry || node.config.timeout_seconds || fanIn)}>
      <Select
        label="Begins when"
        error={errorOf(findings, "fan_in")}
        allowDeselect={false}
        value={choice}
        data={[
          { value: "all", label: "all parents have finished" },
          { value: "any", label: "any parent has finished" },
          { value: "some", label: "a number of parents have finished" },
        ]}
        onChange={(value) => set("fan_in", value === "any" ? "any" : value === "some" ? 2 : undefined)}
      />
      {choice === "some" && (
        <NumberInput
          label="Parents to wait for"
          min={1}
          max={1000}
          allowDecimal={false}
          value={number(fanIn)}
          onChange={(value) => typeof value === "number" && set("fan_in", value)}
        />
      )}
      <div className={classes.pair}>
        <NumberInput
          label="Attempts at most"
          error={errorOf(findings, "retry")}
          min={1}
          max={20}
          allowDecimal={false}
          value={number(retry.max_attempts) || 1}
          onChange={(value) => setRetry("max_attempts", value)}
        />
        <NumberInput
          label="Pause between, s"
          min={0}
          max={3600}
          value={number(retry.backoff_seconds) || 0}
          onChange={(value) => setRetry("backoff_seconds", value)}
        />
      </div>
      <NumberInput
        label="Time limit of an attempt, s"
        description={timeHelp(node)}
        placeholder="Default"
        error={errorOf(findings, "timeout_seconds")}
        min={1}
        max={86_400}
        value={number(node.config.timeout_seconds)}
        onChange={(value) => set("timeout_seconds", typeof value === "number" ? value : undefined)}
      />
    </Fold>
  );
}

interface PairsProps {
  label: string;
  names: [string, string];
  value: Json | undefined;
  onChange: (value: JsonObject | undefined) => void;
}

/** Names and values, such as headers; one empty line waits for the next. */
export function Pairs({ label, names, value, onChange }: PairsProps) {
  const entries = Object.entries(objectOf(value)).map(
    ([k, v]) => [k, typeof v === "string" ? v : JSON.stringify(v)] as const,
  );
  const write = (next: (readonly [string, string])[]) => {
    const kept = next.filter(([k]) => k !== "");
    onChange(kept.length > 0 ? Object.fromEntries(kept) : undefined);
  };
  return (
    <div>
      <div className={classes.label}>{label}</div>
      {[...entries, ["", ""] as const].map(([name, text], i) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a line is its place; its name changes while typing
        <div className={classes.pairLine} key={i}>
          <TextInput
            size="xs"
            aria-label={`${names[0]} ${i + 1}`}
            placeholder={names[0]}
            value={name}
            onChange={(e) =>
              write(
                entries.length === i
                  ? [...entries, [e.currentTarget.value, text]]
                  : entries.map((x, n) => (n === i ? [e.currentTarget.value, text] : x)),
              )
            }
          />
          <TextInput
            size="xs"
            aria-label={`${names[1]} ${i + 1}`}
            placeholder={names[1]}
            disabled={name === ""}
            value={text}
            onChange={(e) => write(entries.map((x, n) => (n === i ? [name, e.currentTarget.value] : x)))}
          />
        </div>
      ))}
    </div>
  );
}
