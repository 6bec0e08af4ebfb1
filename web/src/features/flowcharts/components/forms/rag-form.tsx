import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CodeField } from "../../../../ui/code-editor";
import { NumberInput, Select } from "../../../../ui/inputs";
import { answeringModelsQuery } from "../../../models/api";
import { healthQuery } from "../../../sources/api";
import { SourcePicker } from "../../../sources/components/source-picker";
import { refusalOf, troubleOf } from "../../../sources/health";
import { errorOf } from "../../findings";
import classes from "../editor.module.css";
import { type FormProps, textOf, useSet } from "./common";

export const ragKeys = [
  "mode",
  "source_ids",
  "question",
  "top_k",
  "model_id",
  "retry",
  "timeout_seconds",
  "fan_in",
];

const modes = [
  { value: "query", label: "Ask: passages, and an answer from them" },
  { value: "delta_index", label: "Index what has changed" },
  { value: "fresh_index", label: "Index everything afresh" },
];

/** What retrieval cannot do now, so that nobody learns it from a failed run. */
function Health() {
  const health = useQuery(healthQuery);
  const why = refusalOf(health.data) ?? (health.data && troubleOf(health.data)?.title);
  if (!why) return null;
  return (
    <p className={classes.note} role="status">
      {why} <Link to="/sources">Sources</Link>
    </p>
  );
}

function AskFields({ node, findings }: FormProps) {
  const set = useSet(node);
  const top = node.config.top_k;
  const models = useQuery(answeringModelsQuery);
  const model = typeof node.config.model_id === "number" ? String(node.config.model_id) : null;
  return (
    <>
      <CodeField
        label="Question"
        description="Text with {{ expressions }} over input, upstream, nodes and run."
        placeholder="{{ input.text }}"
        minHeight={84}
        value={textOf(node, "question")}
        error={errorOf(findings, "question")}
        onChange={(value) => set("question", value)}
      />
      <NumberInput
        label="Passages at most"
        placeholder="Default"
        min={1}
        max={20}
        allowDecimal={false}
        value={typeof top === "number" ? top : ""}
        error={errorOf(findings, "top_k")}
        onChange={(value) => set("top_k", typeof value === "number" ? value : undefined)}
      />
      <Select
        label="Model that answers"
        description="From the passages, in words."
        placeholder="That of the settings"
        clearable
        searchable
        data={models.data?.map((m) => ({ value: String(m.id), label: m.name })) ?? []}
        value={model}
        error={errorOf(findings, "model_id")}
        onChange={(value) => set("model_id", value === null ? undefined : Number(value))}
      />
    </>
  );
}

export function RagForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const mode = textOf(node, "mode");
  const ids = Array.isArray(node.config.source_ids)
    ? node.config.source_ids.filter((id): id is number => typeof id === "number")
    : [];
  const asks = mode !== "delta_index" && mode !== "fresh_index";
  return (
    <>
      <Health />
      <Select
        label="What it does"
        allowDeselect={false}
        value={mode || null}
        data={modes}
        error={errorOf(findings, "mode")}
        onChange={(value) => set("mode", value ?? "query")}
      />
      <SourcePicker
        label="Sources"
        placeholder="Choose sources"
        indexedOnly={asks}
        value={ids}
        error={errorOf(findings, "source_ids")}
        onChange={(value) => set("source_ids", value)}
      />
      {asks && <AskFields node={node} findings={findings} />}
    </>
  );
}
