-- What a source is at, of its index runs: one that waits for a person, one that works, else how the last one ended.
-- name: ListSources :many
SELECT sqlc.embed(s), coalesce(e.model, '')::text AS model, coalesce(e.dimensions, 0)::integer AS dimensions,
       coalesce(a.id, 0)::bigint AS active_id, coalesce(l.id, 0)::bigint AS last_id, st.status::text AS status
FROM rag_source s
LEFT JOIN rag_embedder e ON e.id = s.rag_embedder_id
LEFT JOIN rag_index_run a ON a.rag_source_id = s.id AND a.finished_at IS NULL
LEFT JOIN LATERAL (SELECT x.id FROM rag_index_run x WHERE x.rag_source_id = s.id AND x.finished_at IS NOT NULL ORDER BY x.id DESC LIMIT 1) l ON true
CROSS JOIN LATERAL (SELECT CASE WHEN a.status = 'queued' THEN 'queued'
                                WHEN a.status IN ('planned', 'paused') THEN 'waiting'
                                WHEN a.id IS NOT NULL THEN 'indexing'
                                WHEN s.error IS NOT NULL THEN 'error'
                                WHEN s.index_revision > 0 THEN 'indexed'
                                ELSE 'not_indexed' END AS status) st
WHERE s.project_id = 1 AND s.deleted_at IS NULL AND (@before_id::bigint = 0 OR s.id < @before_id)
  AND (@kind::text = '' OR s.kind = @kind) AND (@status::text = '' OR st.status = @status)
  AND (@q::text = '' OR strpos(lower(s.name), lower(@q)) > 0)
ORDER BY s.id DESC LIMIT @max_rows;

-- name: GetSource :one
SELECT sqlc.embed(s), coalesce(e.model, '')::text AS model, coalesce(e.dimensions, 0)::integer AS dimensions,
       coalesce(a.id, 0)::bigint AS active_id, coalesce(l.id, 0)::bigint AS last_id, st.status::text AS status
FROM rag_source s
LEFT JOIN rag_embedder e ON e.id = s.rag_embedder_id
LEFT JOIN rag_index_run a ON a.rag_source_id = s.id AND a.finished_at IS NULL
LEFT JOIN LATERAL (SELECT x.id FROM rag_index_run x WHERE x.rag_source_id = s.id AND x.finished_at IS NOT NULL ORDER BY x.id DESC LIMIT 1) l ON true
CROSS JOIN LATERAL (SELECT CASE WHEN a.status = 'queued' THEN 'queued'
                                WHEN a.status IN ('planned', 'paused') THEN 'waiting'
                                WHEN a.id IS NOT NULL THEN 'indexing'
                                WHEN s.error IS NOT NULL THEN 'error'
                                WHEN s.index_revision > 0 THEN 'indexed'
                                ELSE 'not_indexed' END AS status) st
WHERE s.id = $1;

-- name: GetRow :one
SELECT * FROM rag_source WHERE id = $1;

-- name: MissingSources :many
SELECT w.id::bigint FROM unnest(@ids::bigint[]) AS w (id)
WHERE NOT EXISTS (SELECT FROM rag_source s WHERE s.id = w.id AND s.deleted_at IS NULL)
ORDER BY w.id;

-- name: CountSources :one
SELECT count(*) FROM rag_source WHERE project_id = 1 AND deleted_at IS NULL;

-- name: LockSource :one
SELECT sqlc.embed(s), now()::timestamptz AS db_now FROM rag_source s WHERE s.id = $1 FOR UPDATE;

-- The run that keeps a source from being deleted. Starting one locks the source's row first, as deleting does.
-- name: ActiveRun :one
SELECT id, node_run_id FROM rag_index_run WHERE rag_source_id = $1 AND finished_at IS NULL;

-- name: InsertSource :one
INSERT INTO rag_source (name, kind, config, include, exclude, max_file_bytes, app_user_id)
VALUES (@name, @kind, @config, @include::text[], @exclude::text[], @max_file_bytes, @app_user_id)
RETURNING *;

-- name: UpdateSource :one
UPDATE rag_source
SET name = @name, config = @config, include = @include::text[], exclude = @exclude::text[], max_file_bytes = @max_file_bytes,
    revision = revision + 1, updated_at = now()
WHERE id = @id RETURNING *;

-- name: SetCredential :one
UPDATE rag_source
SET credential_kind = @kind, credential_ciphertext = @ciphertext, credential_fingerprint = @fingerprint,
    credential_set_at = CASE WHEN @kind::text = '' THEN NULL ELSE now() END
WHERE id = @id RETURNING *;

-- name: SetDeleted :one
UPDATE rag_source SET deleted_at = @deleted_at, revision = revision + 1, updated_at = now() WHERE id = @id RETURNING *;

-- Sources whose deletion cannot be taken back any more.
-- name: Removable :many
SELECT id FROM rag_source WHERE deleted_at < now() - make_interval(secs => @undo_seconds::double precision) ORDER BY id LIMIT 100;

-- Their rows go in pieces, so that no transaction is long; the files take their chunks with them.
-- name: RemoveFiles :execrows
DELETE FROM rag_file WHERE id IN (SELECT f.id FROM rag_file f WHERE f.rag_source_id = @rag_source_id LIMIT @max_rows);

-- name: RemoveJournal :execrows
DELETE FROM rag_index_file WHERE (rag_index_run_id, path) IN (
    SELECT j.rag_index_run_id, j.path FROM rag_index_file j JOIN rag_index_run r ON r.id = j.rag_index_run_id
    WHERE r.rag_source_id = @rag_source_id LIMIT @max_rows);

-- It may have been restored in the meantime.
-- name: RemoveSource :execrows
DELETE FROM rag_source WHERE id = @id AND deleted_at < now() - make_interval(secs => @undo_seconds::double precision);

-- name: LockRemovable :one
SELECT id FROM rag_source WHERE id = @id AND deleted_at < now() - make_interval(secs => @undo_seconds::double precision) FOR UPDATE;

-- name: HasSource :one
SELECT EXISTS (SELECT FROM rag_source WHERE id = $1);
