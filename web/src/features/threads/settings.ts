// The settings of threads as their form holds them. Pure.

import type { ChatSettings } from "../../api/aliases";
import { ApiError } from "../../api/client";
import type { SettingsChange } from "./api";

type Numbers = {
  [K in keyof ChatSettings]: ChatSettings[K] extends number ? K : never;
}[keyof ChatSettings];
export type NumberField = Exclude<Numbers, "tools_percent">;

interface Field {
  name: NumberField;
  label: string;
  hint: string;
  min: number;
  max: number;
  suffix: string;
}

export const budgetFields: Field[] = [
  {
    name: "history_percent",
    label: "History",
    hint: "Of the model's window, for the conversation.",
    min: 10,
    max: 90,
    suffix: " %",
  },
  {
    name: "retrieval_percent",
    label: "Retrieval",
    hint: "For passages of sources. Tools get what the two leave.",
    min: 0,
    max: 80,
    suffix: " %",
  },
  {
    name: "trigger_percent",
    label: "Fold at",
    hint: "Of the history's budget: older messages are folded into a summary.",
    min: 70,
    max: 100,
    suffix: " %",
  },
  { name: "target_percent", label: "Fold to", hint: "Below the mark above.", min: 40, max: 99, suffix: " %" },
  {
    name: "preserve_recent_turns",
    label: "Turns kept as they are",
    hint: "The newest, if they fit.",
    min: 1,
    max: 20,
    suffix: "",
  },
  {
    name: "summary_max_chars",
    label: "Longest summary",
    hint: "",
    min: 200,
    max: 10_000,
    suffix: " characters",
  },
  { name: "retrieval_top_k", label: "Passages at most", hint: "", min: 1, max: 50, suffix: "" },
  {
    name: "default_context_window_tokens",
    label: "Window of models that do not say",
    hint: "A model's own comes first: context_window_tokens in its config.",
    min: 1024,
    max: 2_000_000,
    suffix: " tokens",
  },
];

export const behaviourFields: Field[] = [
  {
    name: "max_queued_turns",
    label: "Messages that may wait",
    hint: "In one thread; more are refused.",
    min: 1,
    max: 100,
    suffix: "",
  },
  {
    name: "turn_timeout_seconds",
    label: "Longest answer",
    hint: "Of one attempt.",
    min: 10,
    max: 7200,
    suffix: " s",
  },
  {
    name: "delete_undo_seconds",
    label: "Undo of a deletion",
    hint: "After it a thread is gone.",
    min: 0,
    max: 86_400,
    suffix: " s",
  },
];

export interface PriceRow {
  key: number;
  model: number | null;
  input: number | string;
  cached: number | string;
  output: number | string;
}

export interface SettingsForm {
  numbers: Record<NumberField, number | string>;
  onBusy: ChatSettings["on_busy"];
  model: number | null;
  complexity: ChatSettings["default_response_complexity"];
  currency: string;
  prices: PriceRow[];
}

const allFields = [...budgetFields, ...behaviourFields];

export function formOf(s: ChatSettings): SettingsForm {
  return {
    numbers: Object.fromEntries(allFields.map(({ name }) => [name, s[name]])) as Record<NumberField, number>,
    onBusy: s.on_busy,
    model: s.default_model_id,
    complexity: s.default_response_complexity,
    currency: s.currency,
    prices: s.prices.map((p, i) => ({
      key: i + 1,
      model: p.model_id,
      input: p.input,
      cached: p.cached_input,
      output: p.output,
    })),
  };
}

const pricesOf = (rows: PriceRow[]) =>
  rows.flatMap(({ model, input, cached, output }) =>
    model === null
      ? []
      : [{ model_id: model, input: Number(input), cached_input: Number(cached), output: Number(output) }],
  );

/** Only what differs is sent, so that two people can change different things. */
export function changeOf(form: SettingsForm, saved: ChatSettings): SettingsChange {
  const change: SettingsChange = {};
  for (const { name } of allFields) {
    const value = Number(form.numbers[name]);
    if (value !== saved[name]) change[name] = value;
  }
  if (form.onBusy !== saved.on_busy) change.on_busy = form.onBusy;
  if (form.model !== saved.default_model_id) change.default_model_id = form.model;
  if (form.complexity !== saved.default_response_complexity)
    change.default_response_complexity = form.complexity;
  if (form.currency !== saved.currency) change.currency = form.currency;
  const prices = pricesOf(form.prices);
  if (JSON.stringify(prices) !== JSON.stringify(pricesOf(formOf(saved).prices))) change.prices = prices;
  return change;
}

/** What is wrong with a number, before anybody is asked. */
export function faultOf(field: Field, form: SettingsForm): string | null {
  const raw = form.numbers[field.name];
  const value = Number(raw);
  if (raw === "" || !Number.isInteger(value) || value < field.min || value > field.max)
    return `A whole number from ${field.min} to ${field.max}.`;
  const n = (name: NumberField) => Number(form.numbers[name]);
  if (field.name === "retrieval_percent" && n("history_percent") + value > 95)
    return "With the history it may be 95 % at most, so that tools have room.";
  if (field.name === "target_percent" && value >= n("trigger_percent")) return "It must be below “Fold at”.";
  return null;
}

export const faulty = (form: SettingsForm): boolean =>
  allFields.some((f) => faultOf(f, form) !== null) ||
  !/^[A-Z]{3}$/.test(form.currency) ||
  form.prices.some(
    (p) => p.model === null || [p.input, p.cached, p.output].some((v) => v === "" || Number(v) < 0),
  );

/** What the server found wrong with a field. */
export function serverFault(error: unknown, field: string): string | null {
  if (!(error instanceof ApiError)) return null;
  return error.errors.find((e) => e.location === `body.${field}`)?.message ?? null;
}
