// Sources and index runs for tests.

import type { IndexCounts, IndexFile, IndexRun, Passage, Retrieved, Source } from "../api/aliases";
import { at } from "./graphs";

export const counts = (change: Partial<IndexCounts> = {}): IndexCounts => ({
  found: 0,
  excluded: 0,
  too_large: 0,
  binary: 0,
  unreadable: 0,
  added: 0,
  changed: 0,
  removed: 0,
  kept: 0,
  done: 0,
  failed: 0,
  chunks: 0,
  embedded: 0,
  cached: 0,
  bytes: 0,
  tokens: 0,
  ...change,
});

export const indexRun = (change: Partial<IndexRun> = {}): IndexRun => ({
  id: 31,
  source_id: 2,
  source_name: "Handbook",
  node_id: 90,
  mode: "delta",
  execution_mode: "delta_indexing",
  status: "succeeded",
  plan_first: false,
  only_failed_of: null,
  counts: counts(),
  remote_revision: "",
  embedder: { model: "embedder", dimensions: 3 },
  pause_requested: false,
  error: null,
  created_at: at(0),
  started_at: at(1_000),
  planned_at: at(2_000),
  applied_at: null,
  finished_at: at(60_000),
  usage: { tokens: 0, cost_micros: null, currency: "" },
  ...change,
});

/** A run that a worker holds. */
export const running = (change: Partial<IndexRun> = {}): IndexRun =>
  indexRun({ status: "indexing", finished_at: null, ...change });

export const source = (change: Partial<Source> = {}): Source => ({
  id: 2,
  name: "Handbook",
  kind: "git",
  url: "https://git.example.org/handbook.git",
  branch: "main",
  subfolder: "",
  submodules: false,
  include: [],
  exclude: [],
  max_file_bytes: null,
  credential: null,
  schedule: null,
  status: "indexed",
  index: {
    revision: 4,
    files: 12,
    chunks: 340,
    bytes: 50_000,
    indexed_at: at(60_000),
    remote_revision: "8b0fe02c77aa31d0",
    embedder: { model: "embedder", dimensions: 3 },
  },
  error: null,
  active_run: null,
  last_run: indexRun(),
  revision: 3,
  created_at: at(0),
  updated_at: at(0),
  ...change,
});

export const indexFile = (path: string, change: Partial<IndexFile> = {}): IndexFile => ({
  path,
  action: "add",
  status: "pending",
  size: 100,
  tries: 0,
  error: null,
  chunks: 0,
  tokens: 0,
  millis: 0,
  finished_at: null,
  ...change,
});

export const passage = (id: number, change: Partial<Passage> = {}): Passage => ({
  source_id: 2,
  source_name: "Handbook",
  file_id: 70 + id,
  chunk_id: id,
  key: `key-${id}-abcdef`,
  path: `docs/file${id}.md`,
  language: "",
  kind: "markdown",
  title: `File ${id}`,
  context: "",
  modified_at: null,
  position: { line_start: 3, line_end: 9, page: 0, heading: ["Jobs"] },
  text: `the text of ${id}`,
  snippet: `the snippet of ${id}`,
  highlights: [],
  score: 1 / id,
  ranks: { lexical: id, vector: null, fused: id, rerank: null },
  scores: { lexical: 1 / id, vector: null },
  ...change,
});

export const queryStats = (change: Partial<Retrieved["stats"]> = {}): Retrieved["stats"] => ({
  mode: "hybrid",
  top_k: 10,
  candidates: 40,
  lexical_ms: 3,
  vector_ms: 20,
  embed_ms: 0,
  rerank_ms: 0,
  synthesis_ms: 0,
  total_ms: 25,
  embedder: { model: "embedder", dimensions: 3 },
  vector_backend: "exact",
  warnings: [],
  corrections: [],
  usage: { currency: "", cost_micros: null, calls: [] },
  ...change,
});
