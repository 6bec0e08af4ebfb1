// What schedules mean, in words and places. Pure.

import type { Calendar, Schedule, ScheduleFiring, SystemTask } from "../../api/aliases";
import { ApiError } from "../../api/client";
import type { ScheduleDraft } from "./api";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** How long it is until a time: "in 5 min". */
export function until(at: number, now: number): string {
  const ms = at - now;
  if (ms < 1_000) return "now";
  if (ms < minute) return `in ${Math.round(ms / 1_000)} s`;
  if (ms < hour) return `in ${Math.round(ms / minute)} min`;
  if (ms < day) {
    const h = Math.floor(ms / hour);
    const m = Math.floor((ms % hour) / minute);
    return m === 0 ? `in ${h} h` : `in ${h} h ${m} min`;
  }
  return `in ${Math.floor(ms / day)} d ${Math.floor((ms % day) / hour)} h`;
}

export interface Preset {
  label: string;
  cron: string;
}

export const presets: Preset[] = [
  { label: "Every hour", cron: "0 * * * *" },
  { label: "Every day at 9", cron: "0 9 * * *" },
  { label: "Weekdays at 9", cron: "0 9 * * 1-5" },
  { label: "Mondays at 9", cron: "0 9 * * 1" },
  { label: "First of the month", cron: "0 9 1 * *" },
];

export interface Form {
  name: string;
  flowchartId: number | null;
  cron: string;
  timeZone: string;
  input: string;
  jitterSeconds: number;
  missed: Schedule["missed_policy"];
  catchUpLimit: number;
  overlap: Schedule["overlap_policy"];
}

export const newForm = (flowchartId: number | null, timeZone: string): Form => ({
  name: "",
  flowchartId,
  cron: "0 9 * * 1-5",
  timeZone,
  input: "{}",
  jitterSeconds: 0,
  missed: "catch_up",
  catchUpLimit: 1,
  overlap: "skip",
});

export const formOf = (s: Schedule): Form => ({
  name: s.name,
  flowchartId: s.flowchart_id,
  cron: s.cron,
  timeZone: s.time_zone,
  input: JSON.stringify(s.input ?? {}, null, 2),
  jitterSeconds: s.jitter_seconds,
  missed: s.missed_policy,
  catchUpLimit: s.catch_up_limit,
  overlap: s.overlap_policy,
});

/** The request of a form whose input has been read. */
export const draftOf = (form: Form, flowchartId: number, input: unknown): ScheduleDraft => ({
  name: form.name.trim(),
  flowchart_id: flowchartId,
  cron: form.cron.trim(),
  time_zone: form.timeZone,
  input,
  jitter_seconds: form.jitterSeconds,
  missed_policy: form.missed,
  catch_up_limit: form.catchUpLimit,
  overlap_policy: form.overlap,
});

/** What an error says of a field of the request. */
export function faultOf(error: unknown, field: string): string | undefined {
  if (!(error instanceof ApiError)) return undefined;
  const found = error.errors.filter((e) => e.location === `body.${field}`).map((e) => e.message);
  return found.length > 0 ? `This ${found.join("; ")}.` : undefined;
}

export interface Tick {
  left: number; // per cent
  width: number;
  strength: number; // 0 to 1
  count: number;
  at: number;
}

/** Where the firings of a strip lie. */
export function ticksOf(calendar: Calendar, strip: Calendar["schedules"][number]): Tick[] {
  const width = 100 / calendar.bucket_count;
  const most = Math.max(1, ...strip.buckets.map((b) => b.count));
  const from = Date.parse(calendar.from);
  return strip.buckets.map((b) => ({
    left: b.index * width,
    width,
    count: b.count,
    strength: 0.45 + 0.55 * (b.count / most),
    at: from + b.index * calendar.bucket_seconds * 1_000,
  }));
}

export interface Mark {
  left: number;
  label: string;
}

const lastMark = 95; // per cent; beyond it a label would be cut

/** The labels of a strip's axis, in the browser's time. */
export function marksOf(calendar: Calendar): Mark[] {
  const from = Date.parse(calendar.from);
  const total = calendar.bucket_count * calendar.bucket_seconds * 1_000;
  const marks: Mark[] = [];
  const week = total > day;
  const at = new Date(from);
  at.setMinutes(0, 0, 0);
  if (week) at.setHours(0);
  while (at.getTime() < from + total) {
    const left = (100 * (at.getTime() - from)) / total;
    if (left >= 0 && left < lastMark && (week || at.getHours() % 3 === 0)) {
      const label = week
        ? at.toLocaleDateString(undefined, { weekday: "short", day: "numeric" })
        : at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
      marks.push({ left, label });
    }
    if (week) at.setDate(at.getDate() + 1);
    else at.setHours(at.getHours() + 1);
  }
  return marks;
}

/** The status icon that fits what became of a firing. */
export function lookOfFiring(f: ScheduleFiring): string {
  if (f.outcome === "started") return f.run_status || f.node_status || "succeeded";
  return f.outcome === "failed" ? "failed" : "skipped";
}

export function wordsOfFiring(f: ScheduleFiring): string {
  switch (f.outcome) {
    case "started":
      return f.origin === "manual" ? "Started by hand" : f.origin === "catch_up" ? "Started late" : "Started";
    case "skipped":
      return "Skipped";
    case "missed":
      return f.missed === 1 ? "Missed" : `Missed ${f.missed} times`;
    default:
      return "Not started";
  }
}

const units = [
  [86_400, "day"],
  [3_600, "hour"],
  [60, "minute"],
  [1, "second"],
] as const;

/** An interval in its largest whole unit: "every 6 hours". */
export function intervalWords(seconds: number): string {
  const [size, name] = units.find(([s]) => seconds % s === 0) ?? units[3];
  const n = seconds / size;
  return n === 1 ? `every ${name}` : `every ${n} ${name}s`;
}

/** What a schedule starts: its name, and whether it is a source that is indexed. */
export const startsWords = (s: Schedule): string =>
  s.rag_source_id === null ? s.flowchart_name : `Index of ${s.rag_source_name ?? "a source"}`;

const tasks: Record<string, { label: string; purpose: string }> = {
  canary: { label: "Canary", purpose: "Proves that schedulers work" },
  retention: { label: "Retention", purpose: "Removes old events, text and firings, by the settings" },
  expired: { label: "Expired entries", purpose: "Removes old sessions, idempotency keys and log-in counts" },
  blobs: { label: "Unused blobs", purpose: "Removes stored outputs that nothing refers to" },
  finished_jobs: { label: "Finished jobs", purpose: "Removes jobs that ended long ago" },
  removed_sources: { label: "Removed sources", purpose: "Removes deleted sources and their indexes" },
  recovery_sweep: {
    label: "Recovery sweep",
    purpose: "Takes up the work of dead workers; every worker does it",
  },
  workspace_cleanup: {
    label: "Workspace clean-up",
    purpose: "Removes what killed workers left on their host",
  },
};

export const taskWords = (t: SystemTask): { label: string; purpose: string } =>
  tasks[t.name] ?? { label: t.name, purpose: "" };

export const lookOfTask = (t: SystemTask): string => {
  if (t.running) return "running";
  return t.outcome === "interrupted" ? "cancelled" : t.outcome || "pending";
};

/** A period in its largest whole unit. */
export function everyWords(seconds: number): string {
  if (seconds % 3_600 === 0) return `every ${seconds / 3_600} h`;
  if (seconds % 60 === 0) return `every ${seconds / 60} min`;
  return `every ${seconds} s`;
}

const canaryAlarm = 60_000;

/** What keeps schedules from firing, in one sentence; null: nothing. */
export function troubleOf(schedulers: number, system: SystemTask[], now: number): string | null {
  if (schedulers === 0)
    return "No scheduler runs, so nothing is fired. Start one with “llmctl beat”; what is due meanwhile follows each schedule's policy for missed times.";
  const canary = system.find((t) => t.name === "canary");
  if (canary?.finished_at && now - Date.parse(canary.finished_at) > canaryAlarm)
    return "A scheduler lives, but its canary has not come back for over a minute. Look into the log of llmctl beat.";
  return null;
}
