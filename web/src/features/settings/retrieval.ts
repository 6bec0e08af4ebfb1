// The settings of retrieval as their form holds them. Pure.

import type { Collection, Model, RetrievalChange, RetrievalSettings } from "../../api/aliases";
import { ApiError } from "../../api/client";

type Name = keyof RetrievalSettings;
export type ModelField = "embedding_model_id" | "rerank_model_id" | "synthesis_model_id";
export type NumberField = Exclude<Name, ModelField>;

interface ModelChoice {
  name: ModelField;
  label: string;
  hint: string;
  /** What is in force without a model. */
  none: string;
  fits: (m: Model) => boolean;
}

const isEmbedding = (m: Model) => m.config?.purpose === "embedding";

export const modelChoices: ModelChoice[] = [
  {
    name: "embedding_model_id",
    label: "Embedding model",
    hint: "Makes vectors, so that passages are found that say the same in other words.",
    none: "None: lexical search only",
    fits: (m) => m.provider_kind !== "anthropic",
  },
  {
    name: "rerank_model_id",
    label: "Reranking model",
    hint: "Orders the best passages once more. The server has to offer /rerank.",
    none: "None",
    fits: (m) => m.provider_kind === "openai" || m.provider_kind === "demo",
  },
  {
    name: "synthesis_model_id",
    label: "Answering model",
    hint: "Writes an answer from passages, where one is asked for.",
    none: "That of the thread or node",
    fits: (m) => !isEmbedding(m),
  },
];

export interface Field {
  name: NumberField;
  label: string;
  hint: string;
  suffix?: string;
  /** What stands there when nothing does; such a field may be empty. */
  empty?: string;
  /** How many of the stored unit are one of the shown. */
  per?: number;
}

const MiB = 1 << 20;

export const groups: { title: string; fields: Field[] }[] = [
  {
    title: "Search",
    fields: [
      { name: "top_k", label: "Passages", hint: "That a search gives unless it says so itself." },
      {
        name: "audit_days",
        label: "Searches are kept",
        hint: "Who looked for what, and what was found.",
        suffix: " days",
        empty: "for ever",
      },
    ],
  },
  {
    title: "Indexing",
    fields: [
      {
        name: "max_file_bytes",
        label: "Largest file",
        hint: "Larger ones are left out.",
        suffix: " MiB",
        per: MiB,
      },
      { name: "pdf_max_file_bytes", label: "Largest PDF", hint: "", suffix: " MiB", per: MiB },
      {
        name: "chunk_target_tokens",
        label: "Size of a passage",
        hint: "If the text lets it.",
        suffix: " tokens",
      },
      { name: "chunk_max_tokens", label: "Largest passage", hint: "", suffix: " tokens" },
      { name: "index_parallel_files", label: "Files at a time", hint: "Of one index run." },
    ],
  },
  {
    title: "Limits of the embedding model",
    fields: [
      {
        name: "embedding_dimensions",
        label: "Dimensions",
        hint: "Of the vectors, where the model lets one choose.",
        empty: "the model's own",
      },
      { name: "embed_max_items", label: "Texts of a request", hint: "Gemini takes 100 at most." },
      { name: "embed_max_request_tokens", label: "Tokens of a request", hint: "Of all its texts." },
      { name: "embed_max_input_tokens", label: "Tokens of a text", hint: "More is cut off." },
      {
        name: "embed_parallel",
        label: "Requests at a time",
        hint: "Of each process. They pause together when the provider limits its rate.",
      },
    ],
  },
];

const fields = groups.flatMap((g) => g.fields);

export interface RetrievalForm {
  models: Record<ModelField, number | null>;
  /** As typed; "" is empty. */
  numbers: Record<NumberField, number | string>;
}

const shown = ({ name, per = 1 }: Field, saved: RetrievalSettings): number | string => {
  const value = saved[name];
  return value === null ? "" : Number((value / per).toFixed(3));
};

export const formOf = (saved: RetrievalSettings): RetrievalForm => ({
  models: {
    embedding_model_id: saved.embedding_model_id,
    rerank_model_id: saved.rerank_model_id,
    synthesis_model_id: saved.synthesis_model_id,
  },
  numbers: Object.fromEntries(fields.map((f) => [f.name, shown(f, saved)])) as RetrievalForm["numbers"],
});

/** What is sent: what differs from what was loaded. */
export function changeOf(form: RetrievalForm, saved: RetrievalSettings): RetrievalChange {
  const change: Partial<Record<Name, number | null>> = {};
  for (const { name } of modelChoices)
    if (form.models[name] !== saved[name]) change[name] = form.models[name];
  for (const f of fields) {
    const value = form.numbers[f.name];
    if (value === shown(f, saved)) continue;
    change[f.name] = value === "" ? null : Math.round(Number(value) * (f.per ?? 1));
  }
  return change as RetrievalChange;
}

/** What is wrong before anybody is asked: a number that is none. Ranges are the server's. */
export function faultOf(field: Field, form: RetrievalForm): string | null {
  const value = form.numbers[field.name];
  if (value === "") return field.empty === undefined ? "Give a number." : null;
  const n = Number(value);
  if (field.per) return Number.isFinite(n) ? null : "Give a number.";
  return Number.isInteger(n) ? null : "Give a whole number.";
}

export const faulty = (form: RetrievalForm): boolean => fields.some((f) => faultOf(f, form) !== null);

/** What the server found wrong with a field. */
export function faultAt(error: unknown, name: Name): string | null {
  if (!(error instanceof ApiError)) return null;
  return error.errors.find((e) => e.location === `body.${name}`)?.message ?? null;
}

const names: string[] = [...modelChoices.map((c) => c.name), ...fields.map((f) => f.name)];

/** True when every fault is at a field of the form. */
export const allAtFields = (error: unknown): boolean =>
  error instanceof ApiError &&
  error.errors.length > 0 &&
  error.errors.every((e) => names.some((name) => e.location === `body.${name}`));

/** The models that fit a choice, with the chosen one though it was deleted. */
export function optionsOf(choice: ModelChoice, models: Model[], value: number | null) {
  const options = models
    .filter((m) => choice.fits(m))
    .sort((a, b) => Number(isEmbedding(b)) - Number(isEmbedding(a)))
    .map((m) => ({ value: String(m.id), label: m.name }));
  if (value !== null && !options.some((o) => o.value === String(value)))
    options.push({ value: String(value), label: `Number ${value}, which is not there` });
  return options;
}

/** What a change does to what is indexed already, in the order of its weight. */
export function effectsOf(change: RetrievalChange): string[] {
  const has = (...names: (keyof RetrievalChange)[]) => names.some((name) => name in change);
  const out: string[] = [];
  if (change.embedding_model_id === null)
    out.push(
      "Searches go by words alone from now on. The vectors that there are stay until the next index run.",
    );
  else if (has("embedding_model_id", "embedding_dimensions"))
    out.push(
      "Every index has to be made anew: until its next run, which embeds all of its text, a source is searched by words alone.",
    );
  if (has("chunk_target_tokens", "chunk_max_tokens"))
    out.push("The next run of each source cuts and embeds all of its files again.");
  if (has("max_file_bytes", "pdf_max_file_bytes"))
    out.push("The next run of each source adds or removes the files that the limit decides on.");
  return out;
}

/** The collections whose vectors are of another model than the one that is set. */
export const staleOf = (
  collections: readonly Pick<Collection, "source_id" | "name" | "status" | "embedder">[],
  model: string,
) => collections.filter((c) => c.status === "ready" && c.embedder?.model !== model);
