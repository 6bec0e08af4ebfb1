import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { JsonObject } from "../../../../api/aliases";
import { CodeField, JsonField } from "../../../../ui/code-editor";
import { NumberInput, Select } from "../../../../ui/inputs";
import { answeringModelsQuery } from "../../../models/api";
import { errorOf } from "../../findings";
import { Fold, type FormProps, objectOf, textOf, useSet } from "./common";

export const taskKeys = [
  "prompt",
  "system",
  "model_id",
  "params",
  "output_schema",
  "retry",
  "timeout_seconds",
  "fan_in",
];

export function TaskForm({ node, findings }: FormProps) {
  const set = useSet(node);
  const models = useQuery(answeringModelsQuery);
  const chosen = typeof node.config.model_id === "number" ? String(node.config.model_id) : null;
  const options = (models.data ?? []).map((m) => ({
    value: String(m.id),
    label: `${m.name} · ${m.provider_name}`,
  }));
  const missing = chosen !== null && models.data && !options.some((o) => o.value === chosen);
  const params = objectOf(node.config.params);
  const setParam = (key: string, value: number | string) => {
    const next: JsonObject = { ...params };
    if (typeof value === "number") next[key] = value;
    else delete next[key];
    set("params", Object.keys(next).length > 0 ? next : undefined);
  };
  const number = (key: string): number | "" => (typeof params[key] === "number" ? params[key] : "");
  return (
    <>
      <Select
        label="Model"
        placeholder={models.isPending ? "Reading" : "Choose a model"}
        searchable
        data={missing ? [...options, { value: chosen, label: `Model ${chosen} (deleted)` }] : options}
        value={chosen}
        error={errorOf(findings, "model_id")}
        onChange={(value) => set("model_id", value === null ? undefined : Number(value))}
        nothingFoundMessage="No model has that name."
      />
      {models.data?.length === 0 && (
        <div style={{ fontSize: 13 }}>
          There are no models yet. <Link to="/models">Add one under Models</Link>.
        </div>
      )}
      <CodeField
        label="Prompt"
        description="Text with {{ expressions }} over input, upstream, nodes and run."
        placeholder="Summarise: {{ input.text }}"
        minHeight={132}
        value={textOf(node, "prompt")}
        error={errorOf(findings, "prompt")}
        onChange={(value) => set("prompt", value)}
      />
      <Fold
        title="Instructions and answer"
        open={Boolean(node.config.system || node.config.output_schema || node.config.params)}
      >
        <CodeField
          label="System prompt"
          value={textOf(node, "system")}
          error={errorOf(findings, "system")}
          onChange={(value) => set("system", value === "" ? undefined : value)}
        />
        <JsonField
          label="Answer's JSON Schema"
          description="With a schema the answer is JSON that fits it."
          value={node.config.output_schema}
          error={errorOf(findings, "output_schema")}
          onChange={(value) => set("output_schema", value)}
        />
        <NumberInput
          label="Temperature"
          placeholder="Model's default"
          min={0}
          max={2}
          step={0.1}
          decimalScale={2}
          value={number("temperature")}
          onChange={(value) => setParam("temperature", value)}
        />
        <NumberInput
          label="Most output tokens"
          placeholder="Model's default"
          min={1}
          max={1_000_000}
          allowDecimal={false}
          value={number("max_tokens")}
          onChange={(value) => setParam("max_tokens", value)}
        />
      </Fold>
    </>
  );
}
