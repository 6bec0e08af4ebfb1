// The part of the retrieval API that answers questions, as it is agreed, until the generated document has it.

import type { Embedder, Position, Source, SourceKind } from "./aliases";

type Time = string;

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

interface Op<R, P = unknown> {
  parameters: P;
  responses: { 200: { content: { "application/json": R } } };
}

declare module "./generated/schema" {
  interface paths {
    "/api/rag/health": { get: Op<RetrievalHealth> };
    "/api/rag/collections": {
      get: Op<
        { items: Collection[]; next_cursor: string | null },
        { query?: { limit?: number; cursor?: string } }
      >;
    };
    "/api/rag/query": {
      post: Op<Retrieved> & { requestBody: { content: { "application/json": RetrievalQuery } } };
    };
  }
}
