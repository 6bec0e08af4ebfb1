-- name: InsertJob :one
INSERT INTO download_job (repo_id, revision, commit_id, include, exclude, target, status, bytes_total, files_total, app_user_id, request_id,
                          correlation_id)
VALUES (@repo_id, @revision, @commit_id, @include, @exclude, @target, 'queued', @bytes_total, @files_total, @app_user_id, @request_id,
        @correlation_id)
ON CONFLICT DO NOTHING RETURNING *;

-- name: SetToken :one
UPDATE download_job SET token_ciphertext = @ciphertext, token_fingerprint = @fingerprint WHERE id = @id RETURNING *;

-- name: GetJob :one
SELECT * FROM download_job WHERE id = $1 AND delete_requested_at IS NULL;

-- name: LockJob :one
SELECT * FROM download_job WHERE id = $1 FOR UPDATE;

-- name: ActiveOfTarget :one
SELECT * FROM download_job WHERE lower(target) = lower(@target) AND finished_at IS NULL;

-- name: PendingCleanupOfTarget :one
-- What a worker still has to remove of a target.
SELECT EXISTS (SELECT FROM download_job WHERE lower(target) = lower(@target) AND cleanup = 'files');

-- name: ActiveLike :one
-- An unfinished job that was asked for in the same words.
SELECT * FROM download_job
WHERE lower(repo_id) = lower(@repo_id) AND revision = @revision AND include = @include AND exclude = @exclude AND finished_at IS NULL
  AND delete_requested_at IS NULL
ORDER BY id DESC LIMIT 1;

-- name: ListJobs :many
SELECT sqlc.embed(j), coalesce(w.hostname, '')::text AS worker
FROM download_job j LEFT JOIN worker_process w ON w.id = j.worker_process_id
WHERE j.project_id = 1 AND j.delete_requested_at IS NULL AND (@before_id::bigint = 0 OR j.id < @before_id)
  AND (cardinality(@statuses::text[]) = 0 OR j.status = ANY (@statuses::text[]))
ORDER BY j.id DESC LIMIT @max_rows;

-- name: WorkerOf :one
SELECT hostname FROM worker_process WHERE id = $1;

-- name: ListFiles :many
SELECT * FROM download_file WHERE download_job_id = $1 ORDER BY path;

-- name: ListAttempts :many
SELECT sqlc.embed(a), w.hostname FROM download_attempt a JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.download_job_id = $1 ORDER BY a.number DESC LIMIT 100;

-- name: LastSequence :one
SELECT coalesce((SELECT last_sequence FROM event_stream WHERE name = $1), 0)::bigint;

-- name: ClaimJob :one
-- The compare-and-set of a claim: the attempt gets its number here.
UPDATE download_job j
SET status = 'planning', attempt = attempt + 1, worker_process_id = @worker_process_id, started_at = coalesce(started_at, now()),
    revision_number = revision_number + 1, bytes_per_second = 0, error = NULL
WHERE j.id = @id AND j.status = 'queued' AND j.run_after <= now() AND j.pause_requested_at IS NULL
  AND EXISTS (SELECT 1 FROM worker_process w WHERE w.id = @worker_process_id AND w.tombstone_at IS NULL AND w.stopped_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM queue_pause p WHERE p.queue = 'llmctl_studio.downloads.huggingface')
RETURNING j.*;

-- name: InsertAttempt :exec
INSERT INTO download_attempt (download_job_id, number, worker_process_id, bytes_before) VALUES (@download_job_id, @number, @worker_process_id, @bytes_before);

-- name: Progress :one
-- Only the attempt that holds the job moves it; the answer carries what was ordered meanwhile.
UPDATE download_job
SET status = CASE WHEN status = 'cancelling' THEN status ELSE @status END, bytes_done = @bytes_done, files_done = @files_done,
    bytes_fetched = bytes_fetched + @fetched_since, bytes_per_second = @bytes_per_second, place = @place
WHERE id = @id AND attempt = @attempt AND worker_process_id = @worker_process_id AND finished_at IS NULL
RETURNING *;

-- name: AttemptFetched :exec
UPDATE download_attempt SET bytes_fetched = @bytes_fetched WHERE download_job_id = @download_job_id AND number = @number AND finished_at IS NULL;

-- name: EndAttempt :execrows
UPDATE download_attempt SET status = @status, error = @error, finished_at = now()
WHERE download_job_id = @download_job_id AND number = @number AND finished_at IS NULL;

-- name: SettleJob :one
-- What a job is when nobody works it any more.
UPDATE download_job
SET status = @status, worker_process_id = NULL, error = @error, failures = @failures, lost = @lost, run_after = now() + make_interval(secs => @after_seconds::float8), cleanup = @cleanup,
    bytes_per_second = 0, revision_number = revision_number + 1,
    pause_requested_at = CASE WHEN @status = 'paused' THEN pause_requested_at ELSE NULL END,
    paused_at = CASE WHEN @status = 'paused' THEN now() ELSE NULL END,
    finished_at = CASE WHEN @final::boolean THEN now() ELSE NULL END,
    token_ciphertext = CASE WHEN @final::boolean THEN NULL ELSE token_ciphertext END
WHERE id = @id RETURNING *;

-- name: RequestPause :one
UPDATE download_job SET pause_requested_at = now(), revision_number = revision_number + 1 WHERE id = $1 RETURNING *;

-- name: WithdrawPause :one
UPDATE download_job SET pause_requested_at = NULL, revision_number = revision_number + 1 WHERE id = $1 RETURNING *;

-- name: RequestCancel :one
UPDATE download_job SET status = 'cancelling', cancel_requested_at = now(), revision_number = revision_number + 1 WHERE id = $1 RETURNING *;

-- name: NoteCancel :exec
UPDATE download_job SET cancel_requested_at = now() WHERE id = $1;

-- name: RequestDelete :one
UPDATE download_job SET delete_requested_at = now(), cleanup = @cleanup, revision_number = revision_number + 1 WHERE id = @id RETURNING *;

-- name: DeleteJob :execrows
DELETE FROM download_job WHERE id = $1;

-- name: ClearCleanup :execrows
UPDATE download_job SET cleanup = NULL WHERE id = @id AND cleanup = @cleanup::text;

-- name: PostponeCleanup :exec
-- Of what lies on another disk: whoever has it is found among those who look.
UPDATE download_job SET run_after = now() + interval '30 seconds' WHERE id = $1 AND cleanup IS NOT NULL;

-- name: ListLost :many
SELECT j.id, j.attempt FROM download_job j JOIN worker_process w ON w.id = j.worker_process_id
WHERE j.finished_at IS NULL AND (w.tombstone_at IS NOT NULL OR w.stopped_at IS NOT NULL) ORDER BY j.id LIMIT 100;

-- name: ListStuckCancels :many
SELECT id, attempt FROM download_job
WHERE status = 'cancelling' AND cancel_requested_at < now() - make_interval(secs => @grace_seconds::float8) ORDER BY id LIMIT 100;

-- name: GetAttempt :one
SELECT * FROM download_attempt WHERE download_job_id = @download_job_id AND number = @number;

-- name: ListDue :many
SELECT id FROM download_job
WHERE (status = 'queued' AND run_after < now() - interval '5 seconds' AND pause_requested_at IS NULL) OR (cleanup IS NOT NULL AND run_after <= now())
ORDER BY run_after LIMIT 10000;

-- name: OtherLivingOfTarget :one
-- Whether another job has put, or is going to put, something into the target.
SELECT EXISTS (SELECT FROM download_job WHERE lower(target) = lower(@target) AND id <> @id AND finished_at IS NULL);
