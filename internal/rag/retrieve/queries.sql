-- name: ListAsked :many
-- The sources that a question is put to: those that are named, or all.
SELECT s.id, s.name, s.kind, s.index_revision, s.rag_embedder_id, coalesce(e.key, '')::text AS embedder_key,
       coalesce(e.model, '')::text AS embedder_model, coalesce(e.dimensions, 0)::integer AS dimensions
FROM rag_source s LEFT JOIN rag_embedder e ON e.id = s.rag_embedder_id
WHERE s.deleted_at IS NULL AND (cardinality(@ids::bigint[]) = 0 OR s.id = ANY (@ids::bigint[]))
ORDER BY s.id
LIMIT @max_rows;

-- name: CountSources :one
SELECT count(*)::integer AS sources, count(*) FILTER (WHERE index_revision > 0)::integer AS indexed
FROM rag_source WHERE deleted_at IS NULL;

-- name: ListCollections :many
SELECT s.id, s.name, s.kind, s.index_revision, s.files, s.chunks, s.bytes, s.indexed_at, e.model AS embedder_model, e.dimensions AS embedder_dimensions
FROM rag_source s LEFT JOIN rag_embedder e ON e.id = s.rag_embedder_id
WHERE s.deleted_at IS NULL AND (@before_id::bigint = 0 OR s.id < @before_id)
ORDER BY s.id DESC
LIMIT @max_rows;

-- name: CountFiles :many
-- How many files of a kind and language the visible indexes have. What is no text is remembered, not indexed.
SELECT f.rag_source_id, f.kind, f.language, count(*)::integer AS files
FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id
WHERE f.rag_source_id = ANY (@ids::bigint[]) AND f.from_revision <= s.index_revision
  AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
  AND f.kind <> 'binary'
GROUP BY f.rag_source_id, f.kind, f.language
ORDER BY f.rag_source_id, count(*) DESC, f.kind, f.language;

-- name: InsertRetrieval :exec
INSERT INTO rag_retrieval (origin, origin_id, app_user_id, question, source_ids, results, stats, request_id)
VALUES (@origin, @origin_id, @app_user_id, @question, @source_ids, @results, @stats, @request_id);

-- name: ListRetrievals :many
-- The thread is that of the turn which asked; a turn that was removed leaves the question without one.
SELECT r.id, r.origin, r.origin_id, r.question, r.source_ids, r.results, r.stats, r.request_id, r.at, u.email AS user_email, t.thread_id
FROM rag_retrieval r LEFT JOIN app_user u ON u.id = r.app_user_id LEFT JOIN turn t ON r.origin = 'thread' AND t.id = r.origin_id
WHERE (@before_id::bigint = 0 OR r.id < @before_id)
  AND (@id::bigint = 0 OR r.id = @id)
  AND (@origin::text = '' OR r.origin = @origin)
  AND (@source_id::bigint = 0 OR @source_id = ANY (r.source_ids))
  AND (@user_id::bigint = 0 OR r.app_user_id = @user_id)
  AND (sqlc.narg(since)::timestamptz IS NULL OR r.at >= sqlc.narg(since))
  AND (sqlc.narg(until)::timestamptz IS NULL OR r.at < sqlc.narg(until))
ORDER BY r.id DESC
LIMIT @max_rows;

-- name: DeleteOldRetrievals :execrows
DELETE FROM rag_retrieval WHERE id IN (
    SELECT id FROM rag_retrieval WHERE at < now() - make_interval(days => @days::integer) ORDER BY at LIMIT @max_rows);

-- name: ReadStore :one
-- Whether the index can be read, and whether pgvector is there.
SELECT (to_regclass('rag_vector') IS NOT NULL)::boolean AS pgvector, EXISTS (SELECT FROM rag_chunk)::boolean AS chunks;
