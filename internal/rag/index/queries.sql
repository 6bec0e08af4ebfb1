-- name: LockSource :one
-- The lock that orders triggers, swaps and edits of one source.
SELECT id, name, kind, index_revision, rag_embedder_id, max_file_bytes FROM rag_source WHERE id = @id AND deleted_at IS NULL FOR NO KEY UPDATE;

-- name: ActiveRun :one
SELECT id, node_run_id, status FROM rag_index_run WHERE rag_source_id = @rag_source_id AND finished_at IS NULL;

-- name: NextRevision :one
-- A number that no revision of the source ever had, also none that was given up.
SELECT (greatest(s.index_revision, coalesce((SELECT max(r.index_revision) FROM rag_index_run r WHERE r.rag_source_id = s.id), 0)) + 1)::bigint
FROM rag_source s WHERE s.id = @id;

-- name: InsertRun :one
INSERT INTO rag_index_run (rag_source_id, node_run_id, mode, index_revision, plan_first, only_failed_of)
VALUES (@rag_source_id, @node_run_id, @mode, @index_revision, @plan_first, @only_failed_of)
RETURNING *;

-- name: GetRun :one
SELECT * FROM rag_index_run WHERE id = @id;

-- name: LockRun :one
SELECT * FROM rag_index_run WHERE id = @id FOR UPDATE;

-- name: RunsOfNode :many
SELECT * FROM rag_index_run WHERE node_run_id = @node_run_id ORDER BY rag_source_id;

-- name: LockOpenRunsOfNode :many
SELECT * FROM rag_index_run WHERE node_run_id = @node_run_id AND finished_at IS NULL ORDER BY rag_source_id FOR UPDATE;

-- name: NodeWaits :one
-- A node waits while a person has yet to apply the plan or to resume one of its runs.
SELECT EXISTS (
    SELECT FROM rag_index_run
    WHERE node_run_id = @node_run_id AND finished_at IS NULL
      AND (pause_requested_at IS NOT NULL OR (status = 'planned' AND plan_first AND applied_at IS NULL)));

-- name: HoldAttempt :one
-- The fence: the attempt that writes is the open one and nobody has asked it to stop.
SELECT id FROM node_run WHERE id = @id AND attempt = @attempt AND status = 'running' FOR SHARE;

-- name: BeginRun :one
UPDATE rag_index_run
SET status = @status, started_at = coalesce(started_at, now()), rag_embedder_id = @rag_embedder_id, error = NULL
WHERE id = @id RETURNING *;

-- name: SetStatus :one
UPDATE rag_index_run SET status = @status, error = @error WHERE id = @id RETURNING *;

-- name: SetPlan :one
UPDATE rag_index_run
SET status = @status, planned_at = now(), found = @found, added = @added, changed = @changed, removed = @removed, kept = @kept,
    failed = @failed, skipped = @skipped, remote_revision = @remote_revision, rag_embedder_id = @rag_embedder_id
WHERE id = @id RETURNING *;

-- name: DropJournal :exec
DELETE FROM rag_index_file WHERE rag_index_run_id = @rag_index_run_id;

-- name: VisibleFiles :many
SELECT path, fingerprint, signature FROM rag_file
WHERE rag_source_id = @rag_source_id AND from_revision <= @index_revision::bigint
  AND (to_revision IS NULL OR to_revision > @index_revision::bigint);

-- name: FailedPaths :many
SELECT path FROM rag_index_file WHERE rag_index_run_id = @rag_index_run_id AND status = 'failed';

-- name: PendingPaths :many
SELECT path, action FROM rag_index_file WHERE rag_index_run_id = @rag_index_run_id AND status = 'pending';

-- name: Refresh :execrows
-- What is open is read as the source has it now.
UPDATE rag_index_file f SET fingerprint = n.fingerprint, size = n.size, modified_at = nullif(n.modified_at, '0001-01-01 00:00:00+00')
FROM (SELECT unnest(@paths::text[]) AS path, unnest(@fingerprints::text[]) AS fingerprint, unnest(@sizes::bigint[]) AS size,
             unnest(@times::timestamptz[]) AS modified_at) n
WHERE f.rag_index_run_id = @rag_index_run_id AND f.path = n.path AND f.status = 'pending' AND f.fingerprint <> n.fingerprint;

-- name: NextPending :many
-- The open rows of the journal, with what is indexed of their files. With @suspects only files that somebody had in hand.
SELECT j.path, j.action, j.fingerprint, j.size, j.modified_at, j.tries,
       coalesce(f.content_hash, ''::bytea)::bytea AS content_hash, coalesce(f.signature, '')::text AS signature
FROM rag_index_file j
LEFT JOIN rag_file f ON f.rag_source_id = @rag_source_id AND f.path = j.path AND f.to_revision IS NULL AND f.from_revision <= @visible::bigint
WHERE j.rag_index_run_id = @rag_index_run_id AND j.status = 'pending' AND j.path > @after
  AND (NOT @suspects::boolean OR (j.tries > 0 AND j.action <> 'remove'))
ORDER BY j.path LIMIT @max_rows;

-- name: SetTries :exec
-- Notes how often files were taken in hand; the numbers are absolute, for it may be done twice.
UPDATE rag_index_file f SET tries = n.tries
FROM (SELECT unnest(@paths::text[]) AS path, unnest(@tries::integer[]) AS tries) n
WHERE f.rag_index_run_id = @rag_index_run_id AND f.path = n.path AND f.status = 'pending';

-- name: CountDeadly :one
-- The files of a run that were found to take their workers down.
SELECT count(*) FROM rag_index_file
WHERE rag_index_run_id = @rag_index_run_id AND status = 'failed' AND error_code = @error_code::text AND tries > 0;

-- name: DeadlyFiles :many
-- The files of a source that took their workers down when they were read last, as they were then.
SELECT DISTINCT ON (f.path) f.path, f.fingerprint, f.rag_index_run_id
FROM rag_index_file f JOIN rag_index_run r ON r.id = f.rag_index_run_id
WHERE r.rag_source_id = @rag_source_id AND f.status = 'failed' AND f.error_code = @error_code::text
  AND NOT EXISTS (SELECT FROM rag_index_file later JOIN rag_index_run lr ON lr.id = later.rag_index_run_id
                  WHERE lr.rag_source_id = r.rag_source_id AND lr.id > r.id AND later.path = f.path
                    AND (later.status = 'done' OR later.error_code <> @error_code::text))
ORDER BY f.path, f.rag_index_run_id DESC LIMIT @max_rows;

-- name: HasPending :one
SELECT EXISTS (SELECT FROM rag_index_file WHERE rag_index_run_id = @rag_index_run_id AND status = 'pending');

-- name: GotFurther :one
-- Whether the open attempt of a node run has planned, finished a file or ended a run.
SELECT EXISTS (
    SELECT FROM node_run n JOIN node_attempt a ON a.node_run_id = n.id AND a.number = n.attempt
    JOIN rag_index_run r ON r.node_run_id = n.id
    WHERE n.id = @node_run_id
      AND (r.planned_at >= a.claimed_at OR r.finished_at >= a.claimed_at
           OR EXISTS (SELECT FROM rag_index_file f WHERE f.rag_index_run_id = r.id AND f.finished_at >= a.claimed_at)));

-- name: LockPending :many
-- Which of the files of a batch are still open: a batch whose commit was in doubt comes twice.
SELECT path FROM rag_index_file
WHERE rag_index_run_id = @rag_index_run_id AND path = ANY (@paths::text[]) AND status = 'pending' ORDER BY path FOR UPDATE;

-- name: EndFiles :exec
UPDATE rag_file SET to_revision = @revision::bigint
WHERE rag_source_id = @rag_source_id AND path = ANY (@paths::text[]) AND to_revision IS NULL AND from_revision < @revision::bigint;

-- name: InsertFiles :many
INSERT INTO rag_file (rag_source_id, path, from_revision, fingerprint, signature, content_hash, size, modified_at, kind, language, title, chunks)
SELECT @rag_source_id, n.path, @revision, n.fingerprint, @signature, n.content_hash, n.size, nullif(n.modified_at, '0001-01-01 00:00:00+00'), n.kind,
       n.language, n.title, n.chunks
FROM (SELECT unnest(@paths::text[]) AS path, unnest(@fingerprints::text[]) AS fingerprint, unnest(@hashes::bytea[]) AS content_hash,
             unnest(@sizes::bigint[]) AS size, unnest(@times::timestamptz[]) AS modified_at, unnest(@kinds::text[]) AS kind,
             unnest(@languages::text[]) AS language, unnest(@titles::text[]) AS title, unnest(@counts::integer[]) AS chunks) n
RETURNING id, path;

-- name: CloseJournal :exec
UPDATE rag_index_file f
SET status = CASE WHEN n.error_code = '' THEN 'done' ELSE 'failed' END, tries = greatest(f.tries, 1),
    error_code = nullif(n.error_code, ''), error = nullif(n.error, ''), chunks = n.chunks, tokens = n.tokens, millis = n.millis, finished_at = now()
FROM (SELECT unnest(@paths::text[]) AS path, unnest(@error_codes::text[]) AS error_code, unnest(@errors::text[]) AS error,
             unnest(@counts::integer[]) AS chunks, unnest(@tokens::bigint[]) AS tokens, unnest(@millis::integer[]) AS millis) n
WHERE f.rag_index_run_id = @rag_index_run_id AND f.path = n.path;

-- name: Count :one
UPDATE rag_index_run
SET done = done + @done, failed = failed + @failed, chunks = chunks + @chunks, embedded = embedded + @embedded, cached = cached + @cached,
    bytes = bytes + @bytes, tokens = tokens + @tokens, rag_embedder_id = coalesce(@rag_embedder_id, rag_embedder_id)
WHERE id = @id RETURNING *;

-- name: AdoptCarried :exec
-- Files whose content turned out to be the same keep what is indexed, under what the source says of them now.
UPDATE rag_file f SET fingerprint = j.fingerprint, modified_at = j.modified_at
FROM rag_index_file j
WHERE j.rag_index_run_id = @rag_index_run_id AND j.action = 'change' AND j.status = 'done'
  AND f.rag_source_id = @rag_source_id AND f.path = j.path AND f.to_revision IS NULL AND f.from_revision < @revision::bigint
  AND f.fingerprint <> j.fingerprint;

-- name: ForgetCuts :exec
-- Files that kept what another embedder has vectors of: the next delta indexes them again.
UPDATE rag_file SET signature = ''
WHERE rag_source_id = @rag_source_id AND to_revision IS NULL AND from_revision < @revision::bigint AND signature <> '';

-- name: Totals :one
-- What the source's index has at a revision.
SELECT count(*) FILTER (WHERE kind <> 'binary')::integer AS files, count(*) FILTER (WHERE kind = 'binary')::integer AS binaries,
       coalesce(sum(chunks), 0)::integer AS chunks, coalesce(sum(size) FILTER (WHERE kind <> 'binary'), 0)::bigint AS bytes
FROM rag_file
WHERE rag_source_id = @rag_source_id AND from_revision <= @revision::bigint AND (to_revision IS NULL OR to_revision > @revision::bigint);

-- name: Swap :exec
UPDATE rag_source
SET index_revision = @index_revision, rag_embedder_id = @rag_embedder_id, files = @files, chunks = @chunks, bytes = @bytes,
    remote_revision = @remote_revision, indexed_at = now(), error = NULL, updated_at = now()
WHERE id = @id;

-- name: EndRun :one
UPDATE rag_index_run
SET status = @status, error = @error, skipped = coalesce(@skipped, skipped), finished_at = now(), started_at = coalesce(started_at, now()),
    pause_requested_at = NULL
WHERE id = @id AND finished_at IS NULL RETURNING *;

-- name: SetSourceError :exec
UPDATE rag_source SET error = @error, updated_at = now() WHERE id = @id;

-- name: Apply :one
UPDATE rag_index_run SET applied_at = coalesce(applied_at, now()) WHERE id = @id RETURNING *;

-- name: RequestPause :one
-- With @idle nobody works it: it is paused at once.
UPDATE rag_index_run
SET pause_requested_at = coalesce(pause_requested_at, now()), status = CASE WHEN @idle::boolean AND status <> 'planned' THEN 'paused' ELSE status END
WHERE id = @id RETURNING *;

-- name: ClearPause :one
UPDATE rag_index_run SET pause_requested_at = NULL, status = CASE WHEN status = 'paused' THEN 'queued' ELSE status END
WHERE id = @id RETURNING *;

-- name: PausesRequested :many
SELECT id FROM rag_index_run WHERE id = ANY (@ids::bigint[]) AND pause_requested_at IS NOT NULL;

-- name: DropUnseen :execrows
-- What revisions after the visible one left behind; a batch of it. What the open run writes stays unless it is @begins, which
-- has written nothing yet. Which run is open is read together with the files: one that began after somebody looked is not
-- disturbed.
DELETE FROM rag_file WHERE id IN (
    SELECT f.id FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id
    LEFT JOIN rag_index_run r ON r.rag_source_id = s.id AND r.finished_at IS NULL AND r.id <> @begins::bigint
    WHERE f.rag_source_id = @rag_source_id AND f.from_revision > s.index_revision AND f.from_revision IS DISTINCT FROM r.index_revision
    LIMIT @max_rows);

-- name: RestoreEnded :execrows
-- The files that such revisions had ended are not ended any more. One that another run has ended since is left alone.
UPDATE rag_file e SET to_revision = NULL
FROM (
    SELECT f.id, f.to_revision FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id
    LEFT JOIN rag_index_run r ON r.rag_source_id = s.id AND r.finished_at IS NULL AND r.id <> @begins::bigint
    WHERE f.rag_source_id = @rag_source_id AND f.to_revision > s.index_revision AND f.to_revision IS DISTINCT FROM r.index_revision
    LIMIT @max_rows) old
WHERE e.id = old.id AND e.to_revision = old.to_revision;

-- name: DropReplaced :execrows
-- What no revision shows any more, of one source; a batch of it.
DELETE FROM rag_file WHERE id IN (
    SELECT f.id FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id
    WHERE f.rag_source_id = @rag_source_id AND f.to_revision <= s.index_revision AND s.indexed_at < now() - make_interval(secs => @grace::float8)
    LIMIT @max_rows);

-- name: Unkempt :many
-- The sources that have something to clean up.
SELECT s.id
FROM rag_source s LEFT JOIN rag_index_run r ON r.rag_source_id = s.id AND r.finished_at IS NULL
WHERE EXISTS (SELECT FROM rag_file f WHERE f.rag_source_id = s.id AND f.to_revision IS NOT NULL
              AND f.to_revision <> coalesce(r.index_revision, 0)
              AND (f.to_revision > s.index_revision OR s.indexed_at < now() - make_interval(secs => @grace::float8)))
   OR EXISTS (SELECT FROM rag_file f WHERE f.rag_source_id = s.id AND f.from_revision > s.index_revision
              AND f.from_revision <> coalesce(r.index_revision, 0))
ORDER BY s.id;

-- name: Orphans :many
-- Open index runs whose node runs have ended: whoever ended them did not know of index runs.
SELECT n.id FROM node_run n JOIN rag_index_run r ON r.node_run_id = n.id
WHERE r.finished_at IS NULL AND n.finished_at IS NOT NULL
GROUP BY n.id ORDER BY n.id LIMIT @max_rows;

-- name: DropUnusedVectors :execrows
-- Vectors of texts that no chunk has and that nobody took from the cache for a while. Whoever takes one makes it young again,
-- so what an index run is about to use stays, however many runs there are and however long they wait. The lock looks again
-- whether a vector is old.
DELETE FROM rag_embedding WHERE (rag_embedder_id, content_hash) IN (
    SELECT e.rag_embedder_id, e.content_hash FROM rag_embedding e
    WHERE e.created_at < now() - make_interval(secs => @age::float8)
      AND NOT EXISTS (SELECT FROM rag_chunk c WHERE c.content_hash = e.content_hash)
    LIMIT @max_rows FOR UPDATE OF e SKIP LOCKED);

-- name: EmbedderByKey :one
SELECT * FROM rag_embedder WHERE key = @key;

-- name: View :one
SELECT sqlc.embed(r), s.name AS source_name, coalesce(e.model, '')::text AS model, coalesce(e.dimensions, 0)::integer AS dimensions
FROM rag_index_run r JOIN rag_source s ON s.id = r.rag_source_id LEFT JOIN rag_embedder e ON e.id = r.rag_embedder_id
WHERE r.id = @id;

-- name: Views :many
SELECT sqlc.embed(r), s.name AS source_name, coalesce(e.model, '')::text AS model, coalesce(e.dimensions, 0)::integer AS dimensions
FROM rag_index_run r JOIN rag_source s ON s.id = r.rag_source_id LEFT JOIN rag_embedder e ON e.id = r.rag_embedder_id
WHERE r.id = ANY (@ids::bigint[]);

-- name: ListViews :many
SELECT sqlc.embed(r), s.name AS source_name, coalesce(e.model, '')::text AS model, coalesce(e.dimensions, 0)::integer AS dimensions
FROM rag_index_run r JOIN rag_source s ON s.id = r.rag_source_id LEFT JOIN rag_embedder e ON e.id = r.rag_embedder_id
WHERE s.project_id = 1 AND (@before_id::bigint = 0 OR r.id < @before_id) AND (@source_id::bigint = 0 OR r.rag_source_id = @source_id)
  AND (@node_run_id::bigint = 0 OR r.node_run_id = @node_run_id)
  AND (cardinality(@statuses::text[]) = 0 OR r.status = ANY (@statuses::text[]))
ORDER BY r.id DESC LIMIT @max_rows;

-- name: ListJournal :many
SELECT * FROM rag_index_file
WHERE rag_index_run_id = @rag_index_run_id AND path > @after
  AND (@status::text = '' OR status = @status) AND (@action::text = '' OR action = @action)
  AND (@q::text = '' OR strpos(lower(path), lower(@q)) > 0)
ORDER BY path LIMIT @max_rows;

-- name: ErrorGroups :many
SELECT error_code::text AS code, coalesce(min(error), '')::text AS message, count(*)::integer AS count,
       ((array_agg(path ORDER BY path))[1:5])::text[] AS paths
FROM rag_index_file WHERE rag_index_run_id = @rag_index_run_id AND status = 'failed'
GROUP BY error_code ORDER BY count(*) DESC, error_code LIMIT 50;

-- name: ListFiles :many
SELECT f.id, f.path, f.kind, f.language, f.title, f.size, f.chunks, f.modified_at
FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id
WHERE s.id = @rag_source_id AND s.deleted_at IS NULL AND f.path > @after
  AND f.from_revision <= s.index_revision AND (f.to_revision IS NULL OR f.to_revision > s.index_revision)
  AND (CASE WHEN @kind::text = '' THEN f.kind <> 'binary' ELSE f.kind = @kind END) AND (@language::text = '' OR f.language = @language)
  AND (@q::text = '' OR strpos(lower(f.path), lower(@q)) > 0)
ORDER BY f.path LIMIT @max_rows;

-- name: FileExists :one
SELECT EXISTS (SELECT FROM rag_file f JOIN rag_source s ON s.id = f.rag_source_id WHERE f.id = @id AND s.deleted_at IS NULL);

-- name: ListChunks :many
SELECT c.id, c.key, c.ordinal, c.text, c.context, c.heading, c.line_start, c.line_end, c.page, c.tokens,
       EXISTS (SELECT FROM rag_embedding e WHERE e.rag_embedder_id = s.rag_embedder_id AND e.content_hash = c.content_hash) AS has_vector
FROM rag_chunk c JOIN rag_source s ON s.id = c.rag_source_id
WHERE c.rag_file_id = @rag_file_id AND c.ordinal > @after::integer
ORDER BY c.ordinal LIMIT @max_rows;

-- name: SourceExists :one
SELECT EXISTS (SELECT FROM rag_source WHERE id = @id AND deleted_at IS NULL);

-- name: KindsOf :many
SELECT DISTINCT kind FROM rag_source WHERE id = ANY (@ids::bigint[]) ORDER BY kind;
