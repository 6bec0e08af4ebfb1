// What sources and their index runs look like, derived from what the server sent. Pure.

import type { Envelope, IndexCounts, IndexRun, Position, Source, SourceKind } from "../../api/aliases";
import { isObject } from "../../api/aliases";
import { count, duration } from "../../ui/format";

export const kindLabels: Record<SourceKind, string> = {
  local: "Local folder",
  git: "Git repository",
  google_drive: "Google Drive",
};

/** How something is shown: one of the states of ui/status, and what it is called here. */
export interface Look {
  status: string;
  label: string;
}

const looks: Record<Source["status"], Look> = {
  not_indexed: { status: "skipped", label: "Not indexed" },
  queued: { status: "queued", label: "Queued" },
  indexing: { status: "running", label: "Indexing" },
  waiting: { status: "waiting", label: "Waiting" },
  indexed: { status: "succeeded", label: "Indexed" },
  error: { status: "failed", label: "Failed" },
};

export const statusLabel = (status: Source["status"]): string => looks[status].label;

export function lookOfSource(source: Pick<Source, "status" | "active_run" | "last_run">): Look {
  const run = source.active_run;
  if (source.status === "waiting" && run?.status === "planned")
    return { status: "waiting", label: "Plan ready" };
  if (source.status === "waiting") return { status: "paused", label: "Paused" };
  if (source.status === "indexed" && (source.last_run?.counts.failed ?? 0) > 0)
    return { status: "degraded", label: "Indexed in part" };
  return looks[source.status];
}

const runLooks: Record<IndexRun["status"], Look> = {
  queued: { status: "queued", label: "Queued" },
  syncing: { status: "running", label: "Synchronising" },
  planning: { status: "planning", label: "Planning" },
  planned: { status: "waiting", label: "Plan ready" },
  indexing: { status: "running", label: "Indexing" },
  paused: { status: "paused", label: "Paused" },
  succeeded: { status: "succeeded", label: "Succeeded" },
  failed: { status: "failed", label: "Failed" },
  cancelled: { status: "cancelled", label: "Cancelled" },
};

export function lookOfRun(run: Pick<IndexRun, "status" | "counts" | "pause_requested" | "error">): Look {
  if (run.status === "succeeded" && run.counts.failed > 0) return { status: "degraded", label: "In part" };
  if (run.pause_requested && isMoving(run)) return { status: "pausing", label: "Pausing" };
  if (waitsForProvider(run)) return { status: "waiting", label: "Waiting for the provider" };
  return runLooks[run.status];
}

type Staged = Pick<IndexRun, "status">;

export const isFinal = ({ status }: Staged): boolean =>
  status === "succeeded" || status === "failed" || status === "cancelled";
/** A worker holds it, or will. */
export const isMoving = ({ status }: Staged): boolean =>
  status === "syncing" || status === "planning" || status === "indexing";
/** The embedding provider wants a pause, or does not answer; it goes on by itself. */
export const waitsForProvider = (run: Pick<IndexRun, "status" | "error">): boolean =>
  !isFinal(run) && run.error?.code === "waiting_for_provider";
/** What it will do is known. */
export const isPlanned = (run: Pick<IndexRun, "planned_at">): boolean => run.planned_at !== null;

export const todoOf = (c: IndexCounts): number => c.added + c.changed + c.removed;
export const leftOutOf = (c: IndexCounts): number => c.excluded + c.too_large + c.binary + c.unreadable;

const leftOutNames = [
  ["excluded", "excluded by patterns"],
  ["too_large", "too large"],
  ["binary", "not text"],
  ["unreadable", "unreadable"],
] as const;

/** Why files were left out, such as "12 too large". */
export const leftOutWords = (c: IndexCounts): string[] =>
  leftOutNames.filter(([name]) => c[name] > 0).map(([name, words]) => `${count(c[name])} ${words}`);

/** Of what stands in the folder and is no file that can be read. */
export const unreadWords = (n: number): string =>
  n === 1 ? "1 entry could not be read" : `${count(n)} entries could not be read`;

export const files = (n: number): string => `${count(n)} ${n === 1 ? "file" : "files"}`;

export const chunks = (n: number): string => `${count(n)} ${n === 1 ? "chunk" : "chunks"}`;

export const modeLabels: Record<IndexRun["mode"], string> = { fresh: "Fresh", delta: "Delta" };

/** One line that says what a run does now, or how it ended. */
export function headlineOfRun(run: IndexRun): string {
  const c = run.counts;
  const todo = todoOf(c);
  if (waitsForProvider(run))
    return `${run.error?.message ?? ""} ${count(c.done + c.failed)} of ${files(todo)} done.`;
  switch (run.status) {
    case "queued":
      return run.applied_at
        ? "The plan is applied as soon as a worker is free."
        : "It waits for a free worker.";
    case "syncing":
      return "Reading what the source has now.";
    case "planning":
      return `Comparing ${files(c.found)} with the index.`;
    case "planned":
      return todo === 0
        ? "Nothing has changed. Apply the plan to finish, or cancel it."
        : `${planWords(c)}. Nothing is done before you apply the plan.`;
    case "indexing":
      return `${count(c.done + c.failed)} of ${files(todo)} done${run.pause_requested ? "; it pauses after those in hand" : ""}.`;
    case "paused":
      return `Paused at ${count(c.done + c.failed)} of ${files(todo)}. Searches see the index as it was before.`;
    case "succeeded":
      return endedWords(c);
    case "failed":
      return run.error?.message ?? "It failed without a reason.";
    case "cancelled":
      return "It was cancelled. The index is as it was before.";
  }
}

export function planWords(c: IndexCounts): string {
  const parts = [
    [c.added, "to add"],
    [c.changed, "to change"],
    [c.removed, "to remove"],
  ] as const;
  const some = parts.filter(([n]) => n > 0).map(([n, words]) => `${count(n)} ${words}`);
  return some.length > 0 ? some.join(", ") : "nothing to do";
}

function endedWords(c: IndexCounts): string {
  const parts = [
    [c.added, "added"],
    [c.changed, "changed"],
    [c.removed, "removed"],
  ] as const;
  const some = parts.filter(([n]) => n > 0).map(([n, words]) => `${count(n)} ${words}`);
  const done = some.length > 0 ? some.join(", ") : "Nothing had changed";
  return c.failed > 0 ? `${done}; ${files(c.failed)} failed.` : `${done}.`;
}

/** One line that says what happens with a source now. */
export function headline(source: Source): string {
  const run = source.active_run;
  if (run) return headlineOfRun(run);
  if (!source.index)
    return source.error
      ? `${source.error.message} There is no index yet.`
      : "It was not indexed yet, so searches find nothing of it.";
  if (source.error) return `${source.error.message} Searches still see the index of before.`;
  const vectors = source.index.embedder
    ? `vectors of ${source.index.embedder.model}`
    : "found by words, without vectors";
  return `${files(source.index.files)} in ${chunks(source.index.chunks)}, ${vectors}.`;
}

export interface Step {
  key: "found" | "changed" | "chunked" | "embedded" | "stored";
  label: string;
  /** null: not known yet, or it has no such step. */
  value: number | null;
  unit: "file" | "chunk";
  note: string;
  /** How far it is, 0 to 1. */
  share: number;
  /** Its part of what was found, 0 to 1: how wide the funnel is here. */
  width: number;
}

const part = (n: number, of: number): number => (of <= 0 ? 0 : Math.min(1, n / of));

/** The way of the files through a run. */
export function funnelOf(run: IndexRun): Step[] {
  const c = run.counts;
  const planned = isPlanned(run);
  const todo = todoOf(c);
  const out = leftOutOf(c);
  const handled = c.done + c.failed;
  const progress = todo === 0 ? (planned ? 1 : 0) : part(handled, todo);
  const width = planned ? part(todo, c.found + c.removed) : 1;
  return [
    {
      key: "found",
      label: "Found",
      value: run.status === "queued" && !planned ? null : c.found,
      unit: "file",
      note: out > 0 ? `${count(out)} left out` : "",
      share: planned ? 1 : 0,
      width: 1,
    },
    {
      key: "changed",
      label: run.mode === "fresh" ? "To index" : "Changed",
      value: planned ? todo : null,
      unit: "file",
      note: planned ? `+${count(c.added)} ~${count(c.changed)} −${count(c.removed)}` : "",
      share: planned ? 1 : 0,
      width,
    },
    {
      key: "chunked",
      label: "Chunked",
      value: planned ? c.chunks : null,
      unit: "chunk",
      note: c.tokens > 0 ? `${count(c.tokens)} tokens${costNote(run.usage)}` : "",
      share: progress,
      width,
    },
    {
      key: "embedded",
      label: "Embedded",
      value: planned && run.embedder ? c.embedded : null,
      unit: "chunk",
      note: embeddedNote(run),
      share: run.embedder ? (c.chunks === 0 ? progress : progress * part(c.embedded, c.chunks)) : 0,
      width,
    },
    {
      key: "stored",
      label: "Stored",
      value: planned ? c.done : null,
      unit: "file",
      note: c.failed > 0 ? `${count(c.failed)} failed` : "",
      share: todo === 0 ? progress : part(c.done, todo),
      width,
    },
  ];
}

function costNote(usage: IndexRun["usage"]): string {
  return usage.cost_micros == null ? "" : `, ${(usage.cost_micros / 1e6).toPrecision(2)} ${usage.currency}`;
}

function embeddedNote(run: IndexRun): string {
  if (!run.embedder) return run.planned_at ? "no embedding model" : "";
  return run.counts.cached > 0 ? `${count(run.counts.cached)} kept from before` : run.embedder.model;
}

/** A count at a time, for rates. */
export interface Sample {
  at: number;
  files: number;
  chunks: number;
}

const window = 120_000;

/** The samples with a new one; those of the last two minutes stay. */
export function sampled(known: Sample[], run: IndexRun, now: number): Sample[] {
  const one = { at: now, files: run.counts.done + run.counts.failed, chunks: run.counts.embedded };
  const last = known.at(-1);
  if (last && (one.files < last.files || one.chunks < last.chunks)) return [one];
  if (last && last.files === one.files && last.chunks === one.chunks && now - last.at < 1_000) return known;
  return [...known.filter((s) => now - s.at <= window), one];
}

/** What came in a second, over the last ten. */
export function rateOf(samples: Sample[], name: "files" | "chunks", over = 10_000): number {
  const last = samples.at(-1);
  if (!last) return 0;
  const first = samples.find((s) => last.at - s.at <= over) ?? last;
  const seconds = (last.at - first.at) / 1_000;
  return seconds < 0.5 ? 0 : (last[name] - first[name]) / seconds;
}

/** The rates between samples, oldest first, for a line. */
export function ratesOf(samples: Sample[], name: "files" | "chunks"): number[] {
  return samples.slice(1).map((s, i) => {
    const before = samples[i] ?? s;
    const seconds = Math.max(0.2, (s.at - before.at) / 1_000);
    return Math.max(0, (s[name] - before[name]) / seconds);
  });
}

export const perSecond = (rate: number): string =>
  rate <= 0 ? "" : `${rate < 10 ? rate.toFixed(1) : count(Math.round(rate))}/s`;

/** How long the rest takes at a rate. */
export function leftWords(run: IndexRun, rate: number): string {
  const rest = todoOf(run.counts) - run.counts.done - run.counts.failed;
  return run.status === "indexing" && rate > 0 && rest > 0 ? duration((rest / rate) * 1_000) : "";
}

/** Where in a file something stands: "lines 3–9", "page 2". */
export function positionWords(p: Pick<Position, "line_start" | "line_end" | "page">): string {
  if (p.page > 0) return `page ${p.page}`;
  if (p.line_start <= 0) return "";
  return p.line_end > p.line_start ? `lines ${p.line_start}–${p.line_end}` : `line ${p.line_start}`;
}

/** Where a source's files come from, in a few words. */
export function placeOf(
  source: Pick<Source, "kind" | "path" | "url" | "branch" | "subfolder" | "folder_id">,
): string {
  switch (source.kind) {
    case "local":
      return source.path ?? "";
    case "git":
      return [(source.url ?? "").replace(/^[a-z]+:\/\//, "").replace(/\.git$/, ""), source.subfolder]
        .filter(Boolean)
        .join("/")
        .concat(source.branch ? ` · ${source.branch}` : "");
    case "google_drive":
      return `folder ${source.folder_id ?? ""}`;
  }
}

// --- events ---

export interface SourceNews {
  sourceId: number;
  change: string;
  source: Source | null;
  run: IndexRun | null;
}

const whole = (value: unknown): value is { id: number } => isObject(value) && typeof value.id === "number";

/** What an event says of a source, or null when it is another one's. */
export function newsOf(e: Envelope): SourceNews | null {
  if (!e.sequence_stream.startsWith("rag_source:")) return null;
  const { source, index_run: run, change, source_id } = e.payload;
  return {
    sourceId: typeof source_id === "number" ? source_id : Number(e.sequence_stream.slice(11)),
    change: typeof change === "string" ? change : "",
    source: whole(source) ? (source as object as Source) : null,
    run: whole(run) ? (run as object as IndexRun) : null,
  };
}

const statusWhile: Partial<Record<IndexRun["status"], Source["status"]>> = {
  queued: "queued",
  syncing: "indexing",
  planning: "indexing",
  indexing: "indexing",
  planned: "waiting",
  paused: "waiting",
};

/** A source after news of its run. The index that a run made visible comes with the source, or is loaded. */
export function withRun<S extends Source>(source: S, run: IndexRun): S {
  if (isFinal(run))
    return {
      ...source,
      active_run: source.active_run?.id === run.id ? null : source.active_run,
      last_run: (source.last_run?.id ?? 0) <= run.id ? run : source.last_run,
    };
  if ((source.active_run?.id ?? 0) > run.id || (source.last_run?.id ?? 0) >= run.id) return source;
  return { ...source, active_run: run, status: statusWhile[run.status] ?? source.status };
}
