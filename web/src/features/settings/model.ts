import type { Retention } from "../../api/aliases";
import { ApiError } from "../../api/client";

export type RetentionField = keyof Retention & `${string}_days`;

export const retentionFields: { name: RetentionField; label: string; hint: string }[] = [
  { name: "event_days", label: "Events", hint: "What the pages of ended runs and downloads replay." },
  {
    name: "text_days",
    label: "Streamed text",
    hint: "Words and logs of ended node runs. Outputs stay with their run.",
  },
  { name: "firing_days", label: "Firings", hint: "What became of schedules' times; the last of each stays." },
  { name: "run_days", label: "Runs", hint: "Ended runs, with their node runs, outputs and artifacts." },
];

/** What stands in a field; an age that is for ever keeps what was typed before. */
export interface Age {
  days: number | string;
  forever: boolean;
}

export type Ages = Record<RetentionField, Age>;

/** What is offered when something was for ever. */
const usual = 180;

const ageOf = (days: number | null): Age => ({ days: days ?? usual, forever: days === null });

export const agesOf = (r: Retention): Ages => ({
  event_days: ageOf(r.event_days),
  text_days: ageOf(r.text_days),
  firing_days: ageOf(r.firing_days),
  run_days: ageOf(r.run_days),
});

const daysOf = ({ days, forever }: Age): number | null => (forever ? null : Number(days));

export const retentionOf = (ages: Ages): Retention => ({
  event_days: daysOf(ages.event_days),
  text_days: daysOf(ages.text_days),
  firing_days: daysOf(ages.firing_days),
  run_days: daysOf(ages.run_days),
});

const maxDays = 36_500;

/** What is wrong with an age, before anybody is asked. */
export function faultOfAge({ days, forever }: Age): string | null {
  if (forever) return null;
  if (days === "") return "Give a number of days, or choose for ever.";
  const n = Number(days);
  return Number.isInteger(n) && n >= 1 && n <= maxDays ? null : `${days} is not between 1 and 36,500 days.`;
}

/** What the server found wrong with a field. */
export function faultAt(error: unknown, field: RetentionField): string | null {
  if (!(error instanceof ApiError)) return null;
  return error.errors.find((e) => e.location === `body.${field}`)?.message ?? null;
}

export const changed = (from: Retention, to: Retention): boolean =>
  retentionFields.some(({ name }) => from[name] !== to[name]);

/** What is kept for a shorter time than before: some of it goes, for good. */
export const shortened = (from: Retention, to: Retention): RetentionField[] =>
  retentionFields
    .map(({ name }) => name)
    .filter((name) => (to[name] ?? Number.POSITIVE_INFINITY) < (from[name] ?? Number.POSITIVE_INFINITY));

/** What most MCP clients take into their configuration file. */
export const mcpClientConfig = (url: string): string =>
  JSON.stringify(
    {
      mcpServers: {
        llmctl: { type: "http", url, headers: { Authorization: "Bearer <API key>" } },
      },
    },
    null,
    2,
  );
