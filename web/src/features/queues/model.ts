import type { Queue, QueueTimes, Worker, WorkerList } from "../../api/aliases";
import { duration } from "../../ui/format";

// What the page knows of queues and workers beyond what the server says.

const labels: Record<string, string> = {
  llmctl_studio: "Runs",
  "llmctl_studio.downloads.huggingface": "Downloads",
  "llmctl_studio.rag.index": "Indexing",
  "llmctl_studio.rag.drive": "Google Drive",
  "llmctl_studio.rag.git": "Git",
};

/** What a queue is for, in a word or two; one that is not known has its name. */
export const labelOf = (name: string): string => labels[name] ?? name;

const digits = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export const rate = (perMinute: number): string => (perMinute < 0.05 ? "0" : digits.format(perMinute));

/** A time in seconds; short ones keep their digits. */
export function seconds(s: number | null): string {
  if (s === null) return "–";
  return s < 0.01 ? `${digits.format(s * 1_000)} ms` : duration(s * 1_000);
}

/** What each bucket is, the lowest first. */
export function bucketNames(bounds: number[]): string[] {
  const name = (s: number): string => (s < 1 ? `${s * 1_000} ms` : s < 60 ? `${s} s` : `${s / 60} min`);
  return [...bounds.map((b) => `≤ ${name(b)}`), `> ${name(bounds.at(-1) ?? 0)}`];
}

/** A distribution in words. */
export const timesText = (what: string, t: QueueTimes): string =>
  t.count === 0
    ? `${what}: nothing in the last hour`
    : `${what} in the last hour: half within ${seconds(t.p50_seconds)}, 95% within ${seconds(t.p95_seconds)}, 99% within ${seconds(t.p99_seconds)}`;

/** Only the buckets that something fell into, with one on each side: the rest says nothing. */
export function trimmed(counts: number[]): number[] {
  const first = counts.findIndex((n) => n > 0);
  if (first < 0) return [];
  const last = counts.findLastIndex((n) => n > 0);
  return counts.slice(Math.max(0, first - 1), last + 2);
}

export interface QueueLook {
  label: string;
  color: string;
  kind: "paused" | "stuck" | "working" | "idle" | "unserved";
}

/** How a queue is doing, in a word. */
export function lookOfQueue(q: Queue): QueueLook {
  if (q.paused) return { kind: "paused", label: "Paused", color: "var(--st-waiting)" };
  if (q.no_consumer) return { kind: "stuck", label: "Nobody takes it", color: "var(--st-failed)" };
  if (q.consumers === 0) return { kind: "unserved", label: "No worker", color: "var(--st-muted)" };
  if (q.running > 0 || q.waiting > 0)
    return { kind: "working", label: "Working", color: "var(--st-running)" };
  return { kind: "idle", label: "Idle", color: "var(--st-succeeded)" };
}

export const workerLooks: Record<Worker["state"], { label: string; color: string; hint: string }> = {
  ready: { label: "Ready", color: "var(--st-succeeded)", hint: "It has free slots." },
  busy: { label: "Busy", color: "var(--st-running)", hint: "All its slots are taken." },
  draining: {
    label: "Draining",
    color: "var(--st-waiting)",
    hint: "It finishes what it runs and takes nothing new.",
  },
  suspect: {
    label: "Silent",
    color: "var(--st-degraded)",
    hint: "It has not reported for more than 8 seconds and starts nothing until it does. After 10 seconds of silence others declare it dead and take up its work.",
  },
  dead: {
    label: "Dead",
    color: "var(--st-failed)",
    hint: "It went silent and was declared dead; others took up its work.",
  },
  stopped: { label: "Stopped", color: "var(--st-skipped)", hint: "It ended on purpose." },
};

export const isLive = (w: Worker): boolean => w.ended_at === null;

export interface Totals {
  waiting: number;
  running: number;
  finished: number;
  dead: number;
}

export const totalsOf = (queues: Queue[]): Totals =>
  queues.reduce(
    (sum, q) => ({
      waiting: sum.waiting + q.waiting,
      running: sum.running + q.running,
      finished: sum.finished + q.finished_per_minute.m1,
      dead: sum.dead + q.dead,
    }),
    { waiting: 0, running: 0, finished: 0, dead: 0 },
  );

/** What is wrong with the workers, and what to do. */
export function workerTroubles({ items }: WorkerList): string[] {
  const live = items.filter(isLive);
  if (live.length === 0) return ["No worker is running, so nothing is worked. Start one: llmctl worker."];
  if (live.every((w) => w.state === "draining"))
    return ["Every worker is draining, so nothing new is begun. Resume one, or start another."];
  return live
    .filter((w) => w.state === "suspect")
    .map(
      (w) =>
        `Worker ${w.hostname} (process ${w.pid}) has been silent for ${duration(w.beat_age_seconds * 1_000)}. ${workerLooks.suspect.hint}`,
    );
}

const tones = ["--st-running", "--st-cached", "--st-waiting", "--st-succeeded", "--st-degraded"];
const order = Object.keys(labels);

/** Each queue has its colour, the same wherever it is shown. */
export const colorOf = (queue: string): string =>
  `var(${tones[Math.max(0, order.indexOf(queue)) % tones.length]})`;

const reasons: Record<string, string> = {
  lost: "Its worker died three times",
  timeout: "It took too long",
  discarded: "No worker could work it",
};

/** Why something failed, in words where the page has some. */
export const reasonOf = (code: string): string => reasons[code] ?? code;
