// Downloads for tests.

import type { Download, DownloadDetail, DownloadFile, DownloadPlan } from "../api/aliases";

export const job = (change: Partial<Download>): Download => ({
  id: 1,
  repo_id: "o/m",
  revision: "main",
  commit: "0123456789abcdef0123456789abcdef01234567",
  include: [],
  exclude: [],
  target: "o--m",
  status: "downloading",
  attempt: 1,
  worker: "host",
  bytes_total: 100,
  bytes_done: 50,
  bytes_fetched: 50,
  bytes_per_second: 0,
  eta_seconds: null,
  files_total: 1,
  files_done: 0,
  error: null,
  order: null,
  token_set: false,
  token_fingerprint: "",
  run_after: null,
  created_at: "2026-01-01T00:00:00Z",
  started_at: "2026-01-01T00:00:00Z",
  finished_at: null,
  ...change,
});

export const file = (change: Partial<DownloadFile>): DownloadFile => ({
  id: 1,
  path: "model.safetensors",
  size: 100,
  hash_kind: "sha256",
  hash: "ab".repeat(32),
  status: "downloading",
  bytes_done: 30,
  ranges: [
    [0, 20],
    [50, 60],
  ],
  ...change,
});

export const detail = (change: Partial<DownloadDetail>): DownloadDetail => ({
  ...job({}),
  files: [file({})],
  attempts: [],
  as_of: { stream: "download_job:1", sequence: 5 },
  ...change,
});

const planned = (path: string, size: number, selected: boolean) => ({
  path,
  size,
  selected,
  present: false,
  hash_kind: "sha256" as const,
  hash: "ab".repeat(32),
});

export const plan = (change: Partial<DownloadPlan>): DownloadPlan => ({
  repo_id: "o/m",
  revision: "main",
  commit: "0123456789abcdef0123456789abcdef01234567",
  gated: false,
  target: "o--m",
  files: [
    planned("config.json", 10, true),
    planned("README.md", 5, false),
    planned("sub/model.bin", 90, true),
  ],
  files_total: 2,
  bytes_total: 100,
  bytes_present: 0,
  bytes_kept: 0,
  bytes_to_fetch: 100,
  complete: false,
  disk: { free: 10_000, total: 20_000, reserve: 100 },
  fits: true,
  active_id: null,
  ...change,
});
