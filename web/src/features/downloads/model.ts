// What a download looks like, derived from what the server sent. Pure.

import {
  type Download,
  type DownloadDetail,
  type DownloadFile,
  type DownloadPlan,
  type DownloadStatus,
  type Envelope,
  isObject,
  type PlannedFile,
} from "../../api/aliases";
import { standing } from "../../realtime/stream";
import { bytes, count, duration } from "../../ui/format";

const final: ReadonlySet<DownloadStatus> = new Set<DownloadStatus>(["succeeded", "failed", "cancelled"]);

export const isFinal = (status: DownloadStatus): boolean => final.has(status);
export const isMoving = (status: DownloadStatus): boolean =>
  status === "planning" || status === "downloading" || status === "verifying";

/** The job that an event carries, if it carries one. */
export function downloadOf(e: Envelope): Download | null {
  const job = e.payload.download_job;
  if (!e.event_type.startsWith("download:job:") || !isObject(job) || typeof job.id !== "number") return null;
  return job as object as Download;
}

const filesOf = (e: Envelope): Partial<DownloadFile>[] =>
  Array.isArray(e.payload.files)
    ? e.payload.files.filter(isObject).map((f) => f as Partial<DownloadFile>)
    : [];

/** The detail after an event of its stream; "refetch" where the event does not say enough. */
export function reduceDownload(detail: DownloadDetail, e: Envelope): DownloadDetail | "refetch" {
  const at = standing(detail.as_of, e);
  if (at === "known") return detail;
  if (at === "ahead") return "refetch";
  const job = downloadOf(e);
  const as_of = { stream: e.sequence_stream, sequence: e.sequence };
  if (!job) return { ...detail, as_of };
  // The list of attempts changes with a claim and with every end of one.
  if (job.attempt !== detail.attempt || (isMoving(detail.status) && !isMoving(job.status))) return "refetch";
  const news = new Map(filesOf(e).map((f) => [f.id, f]));
  const files =
    news.size === 0
      ? detail.files
      : detail.files.map((file) => {
          const change = news.get(file.id);
          if (!change) return file;
          // What an event leaves out of a file does not change; its speed does.
          const { bytes_per_second: _, eta_seconds: __, error: ___, ...kept } = file;
          return { ...kept, ...change };
        });
  return { ...detail, ...job, files, as_of };
}

export const share = (done: number, total: number): number =>
  total <= 0 ? 1 : Math.min(1, Math.max(0, done / total));

export const percent = (done: number, total: number): string => {
  const value = share(done, total) * 100;
  return done < total && value > 99.9 ? "99.9 %" : `${value.toFixed(value < 10 || value >= 100 ? 0 : 1)} %`;
};

export const speed = (perSecond: number | undefined): string => (perSecond ? `${bytes(perSecond)}/s` : "–");

export const eta = (seconds: number | null | undefined): string =>
  seconds === null || seconds === undefined ? "–" : duration(seconds * 1_000);

const failureTitle: Record<string, string> = {
  wrong_hash: "A file is not what the hub publishes",
  gated: "The model is gated",
  unauthorized: "The hub refused the token",
  "download.no_space": "The disk is full",
  lost: "Its workers died",
};

export const titleOf = (code: string): string => failureTitle[code] ?? "The download failed";

/** One line that says what is happening now. */
export function headline(job: Download): string {
  switch (job.status) {
    case "queued":
      return job.error ? "Waits for its next attempt" : "Waits for a free worker";
    case "planning":
      return "Looking at what is there already";
    case "downloading":
      if (job.order?.asked === "pause") return "Pausing: waiting for the worker to confirm";
      return `${bytes(job.bytes_done)} of ${bytes(job.bytes_total)}, ${speed(job.bytes_per_second)}, ${eta(job.eta_seconds)} left`;
    case "verifying":
      return "Putting the files in place";
    case "paused":
      return "Paused. What is there stays, and no worker is held";
    case "cancelling":
      return "Cancelling: waiting for the worker to confirm";
    case "succeeded":
      return `${count(job.files_total)} ${job.files_total === 1 ? "file" : "files"}, ${bytes(job.bytes_total)}, all verified, in models/${job.target}`;
    case "cancelled":
      return "Cancelled. What was fetched is removed";
    case "failed":
      return job.error?.message ?? "Failed";
  }
}

/** Patterns as people type them: one a line, or separated by commas. */
export const patternsOf = (text: string): string[] =>
  text
    .split(/[\n,]/)
    .map((p) => p.trim())
    .filter((p) => p !== "");

/** What stands between a plan and its download; null: nothing. */
export function obstacle(plan: DownloadPlan): string | null {
  if (plan.files_total === 0) return "No file is selected by these patterns.";
  if (plan.complete) return `Everything is in models/${plan.target} already, at this very commit.`;
  if (!plan.fits) {
    const free = Math.max(0, plan.disk.free - plan.disk.reserve);
    return `It does not fit: ${bytes(plan.bytes_to_fetch)} are to be downloaded, ${bytes(free)} can be used. Free ${bytes(plan.bytes_to_fetch - free)}, or exclude files.`;
  }
  return null;
}

export interface Folder {
  name: string;
  files: PlannedFile[];
  selected: number;
  bytes: number;
}

/** The files of a plan by their folders, those that contain a text. */
export function foldersOf(files: readonly PlannedFile[], filter: string): Folder[] {
  const wanted = filter.trim().toLowerCase();
  const folders = new Map<string, Folder>();
  for (const file of files) {
    if (wanted && !file.path.toLowerCase().includes(wanted)) continue;
    const at = file.path.lastIndexOf("/");
    const name = at < 0 ? "" : file.path.slice(0, at);
    const folder = folders.get(name) ?? { name, files: [], selected: 0, bytes: 0 };
    folder.files.push(file);
    if (file.selected) {
      folder.selected++;
      folder.bytes += file.size;
    }
    folders.set(name, folder);
  }
  return [...folders.values()].sort((a, b) => a.name.localeCompare(b.name));
}

const order: Record<DownloadFile["status"], number> = {
  failed: 0,
  downloading: 1,
  verifying: 1,
  pending: 2,
  succeeded: 3,
};

/** What moves first, then what is to come, then what is done. */
export const sorted = (files: readonly DownloadFile[]): DownloadFile[] =>
  [...files].sort((a, b) => order[a.status] - order[b.status] || (a.path ?? "").localeCompare(b.path ?? ""));

/** Points of a line of speeds, as an SVG path in a box. */
export function sparkPath(values: readonly number[], width: number, height: number): string {
  if (values.length < 2) return "";
  const top = Math.max(...values, 1);
  const step = width / (values.length - 1);
  return values
    .map(
      (v, i) => `${i === 0 ? "M" : "L"}${(i * step).toFixed(1)} ${(height - (v / top) * height).toFixed(1)}`,
    )
    .join("");
}
