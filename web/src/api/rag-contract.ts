// The retrieval API as it is agreed, until the generated document has it.

type Time = string;

export interface Embedder {
  model: string;
  dimensions: number;
}

export type SourceKind = "local" | "git" | "google_drive";
export type IndexMode = "fresh" | "delta";

export interface SourceSchedule {
  id: number;
  cron: string | null;
  every_seconds: number | null;
  time_zone: string;
  mode: IndexMode;
  enabled: boolean;
  next_due_at: Time | null;
}

export interface Source {
  id: number;
  name: string;
  kind: SourceKind;
  path?: string;
  url?: string;
  branch?: string;
  subfolder?: string;
  submodules?: boolean;
  folder_id?: string;
  endpoint?: string;
  include: string[];
  exclude: string[];
  max_file_bytes: number | null;
  credential: { kind: "token" | "ssh_key" | "service_account"; fingerprint: string; set_at: Time } | null;
  schedule: SourceSchedule | null;
  status: "not_indexed" | "queued" | "indexing" | "waiting" | "indexed" | "error";
  index: {
    revision: number;
    files: number;
    chunks: number;
    bytes: number;
    indexed_at: Time | null;
    remote_revision: string;
    embedder: Embedder | null;
  } | null;
  error: { code: string; message: string; at: Time } | null;
  active_run: IndexRun | null;
  last_run: IndexRun | null;
  revision: number;
  created_at: Time;
  updated_at: Time;
}

export interface IndexCounts {
  found: number;
  excluded: number;
  too_large: number;
  binary: number;
  unreadable: number;
  added: number;
  changed: number;
  removed: number;
  kept: number;
  done: number;
  failed: number;
  chunks: number;
  embedded: number;
  cached: number;
  bytes: number;
  tokens: number;
}

export interface IndexRun {
  id: number;
  source_id: number;
  source_name: string;
  node_id: number;
  mode: IndexMode;
  execution_mode: "indexing" | "delta_indexing";
  status:
    | "queued"
    | "syncing"
    | "planning"
    | "planned"
    | "indexing"
    | "paused"
    | "succeeded"
    | "failed"
    | "cancelled";
  plan_first: boolean;
  only_failed_of: number | null;
  counts: IndexCounts;
  remote_revision: string;
  embedder: Embedder | null;
  pause_requested: boolean;
  error: { code: string; message: string } | null;
  created_at: Time;
  started_at: Time | null;
  planned_at: Time | null;
  applied_at: Time | null;
  finished_at: Time | null;
}

export interface IndexFile {
  path: string;
  action: "add" | "change" | "remove";
  status: "pending" | "done" | "failed";
  size: number;
  tries: number;
  error: { code: string; message: string } | null;
  chunks: number;
  tokens: number;
  millis: number;
  finished_at: Time | null;
}

export interface IndexErrorGroup {
  code: string;
  message: string;
  count: number;
  paths: string[];
}

export interface SourceFile {
  id: number;
  path: string;
  kind: string;
  language: string;
  title: string;
  size: number;
  chunks: number;
  modified_at: Time | null;
}

export interface Position {
  line_start: number;
  line_end: number;
  page: number;
  heading: string[];
}

export interface Chunk {
  id: number;
  key: string;
  ordinal: number;
  text: string;
  context: string;
  position: Position;
  tokens: number;
  has_vector: boolean;
}

export interface SourceDraft {
  name: string;
  kind: SourceKind;
  path?: string;
  url?: string;
  branch?: string;
  subfolder?: string;
  submodules?: boolean;
  folder_id?: string;
  endpoint?: string;
  include?: string[];
  exclude?: string[];
  max_file_bytes?: number | null;
  token?: string | null;
  ssh_key?: string | null;
  service_account?: string | null;
  schedule?: {
    cron?: string;
    every_seconds?: number;
    time_zone?: string;
    mode?: IndexMode;
    enabled?: boolean;
  } | null;
}
export type SourceChange = Partial<Omit<SourceDraft, "kind">>;

export interface SourceCheck {
  ok: boolean;
  message: string;
  revision: string;
  files?: number;
  code?: string;
}

export interface LocalRoots {
  roots: { path: string; exists: boolean }[];
}
export interface LocalFolders {
  path: string;
  folders: { name: string; path: string }[];
}

export interface RetrievalHealth {
  status: "unconfigured" | "configured_unhealthy" | "configured_healthy";
  sources: number;
  indexed_sources: number;
  embedder: { configured: boolean; ok: boolean; model: string; message: string };
  store: { ok: boolean; vector_backend: string; pgvector: boolean; message: string };
  reasons: string[];
}

export interface Collection {
  source_id: number;
  name: string;
  kind: SourceKind;
  status: Source["status"];
  files: number;
  chunks: number;
  bytes: number;
  indexed_at: Time | null;
  embedder: Embedder | null;
  languages: { language: string; files: number }[];
  kinds: { kind: string; files: number }[];
}

export type RetrievalMode = "hybrid" | "lexical" | "vector";

export interface RetrievalQuery {
  question: string;
  source_ids?: number[];
  top_k?: number;
  synthesize?: boolean;
  mode?: RetrievalMode;
  rerank?: boolean;
  explain?: boolean;
  filters?: {
    paths?: string[];
    languages?: string[];
    kinds?: string[];
    modified_after?: string;
    modified_before?: string;
  };
}

export interface Passage {
  source_id: number;
  source_name: string;
  file_id: number;
  chunk_id: number;
  key: string;
  path: string;
  language: string;
  kind: string;
  position: Position;
  text: string;
  snippet: string;
  highlights: number[][];
  score: number;
  ranks: { lexical: number | null; vector: number | null; fused: number; rerank: number | null };
  scores: { lexical: number | null; vector: number | null };
}

export interface RetrievalStats {
  mode: string;
  top_k: number;
  candidates: number;
  lexical_ms: number;
  vector_ms: number;
  rerank_ms?: number;
  synthesis_ms?: number;
  total_ms: number;
  embedder: Embedder | null;
  vector_backend: string;
  warnings: string[];
}

export interface Retrieved {
  results: Passage[];
  lists?: { lexical: Passage[]; vector: Passage[] };
  answer?: string;
  citations?: { number: number; result_index: number }[];
  synthesis_error?: { code: string; message: string };
  stats: RetrievalStats;
}

interface List<T> {
  items: T[];
  next_cursor: string | null;
}

interface Op<R, P = unknown> {
  parameters: P;
  responses: { 200: { content: { "application/json": R } } };
}
interface Write<R, P, B> extends Op<R, P> {
  requestBody: { content: { "application/json": B } };
}

interface Paging {
  limit?: number;
  cursor?: string;
}
type At = { path: { id: number } };
type Keyed = { header?: { "Idempotency-Key"?: string } };

declare module "./generated/schema" {
  interface paths {
    "/api/rag/sources": {
      get: Op<List<Source>, { query?: Paging & { q?: string; kind?: string; status?: string } }>;
      post: Write<Source, Keyed, SourceDraft>;
    };
    "/api/rag/sources/{id}": {
      get: Op<Source, At>;
      patch: Write<Source, At & { header?: { "If-Match"?: string } }, SourceChange>;
      delete: Op<undefined, At>;
    };
    "/api/rag/sources/{id}/restore": { post: Op<Source, At> };
    "/api/rag/sources/check": { post: Write<SourceCheck, unknown, SourceDraft | { id: number }> };
    "/api/rag/local-roots": { get: Op<LocalRoots> };
    "/api/rag/local-roots/browse": { get: Op<LocalFolders, { query: { path: string } }> };
    "/api/rag/sources/{id}/index": {
      post: Write<
        { task: { id: number }; index_run: IndexRun },
        At & Keyed,
        { mode: IndexMode; plan_first?: boolean; only_failed_of?: number }
      >;
    };
    "/api/rag/index-runs": {
      get: Op<List<IndexRun>, { query?: Paging & { source_id?: number; status?: string } }>;
    };
    "/api/rag/index-runs/{id}": { get: Op<IndexRun, At> };
    "/api/rag/index-runs/{id}/files": {
      get: Op<List<IndexFile>, At & { query?: Paging & { status?: string; action?: string; q?: string } }>;
    };
    "/api/rag/index-runs/{id}/errors": { get: Op<{ items: IndexErrorGroup[] }, At> };
    "/api/rag/index-runs/{id}/apply": { post: Op<{ index_run: IndexRun }, At> };
    "/api/rag/index-runs/{id}/pause": { post: Op<{ index_run: IndexRun }, At> };
    "/api/rag/index-runs/{id}/resume": { post: Op<{ index_run: IndexRun }, At> };
    "/api/rag/index-runs/{id}/cancel": { post: Op<{ index_run: IndexRun }, At> };
    "/api/rag/sources/{id}/files": {
      get: Op<List<SourceFile>, At & { query?: Paging & { q?: string; language?: string; kind?: string } }>;
    };
    "/api/rag/files/{id}/chunks": { get: Op<List<Chunk>, At & { query?: Paging }> };
    "/api/rag/health": { get: Op<RetrievalHealth> };
    "/api/rag/collections": { get: Op<List<Collection>, { query?: Paging }> };
    "/api/rag/query": { post: Write<Retrieved, unknown, RetrievalQuery> };
  }
}
