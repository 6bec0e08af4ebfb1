-- Lock order everywhere: the run, then its node runs by id, then event streams by name.

-- name: InsertRun :one
INSERT INTO flowchart_run (project_id, flowchart_id, flowchart_version_id, version, status, input, start_node_id, retry_of,
                           retry_from, app_user_id, request_id, correlation_id, max_node_executions, max_parallel_nodes, deadline_at,
                           schedule_id, due_at, traceparent)
VALUES (@project_id, @flowchart_id, @flowchart_version_id, @version, 'queued', @input, @start_node_id, @retry_of,
        @retry_from, @app_user_id, @request_id, @correlation_id, @max_node_executions, @max_parallel_nodes, @deadline_at,
        @schedule_id, @due_at, @traceparent)
RETURNING *;

-- The input may be large and never changes: who needs it has read it before the lock.
-- name: LockRun :one
SELECT id, project_id, flowchart_id, flowchart_version_id, version, status, output, output_blob, output_bytes, error, marking,
       start_node_id, retry_of, app_user_id, request_id, correlation_id, node_executions, max_node_executions, max_parallel_nodes,
       deadline_at, created_at, started_at, finished_at, paused_at, cancel_requested_at, retry_from, schedule_id, due_at, traceparent
FROM flowchart_run WHERE id = $1 FOR UPDATE;

-- name: GetRunInput :one
SELECT input FROM flowchart_run WHERE id = $1;

-- What the end of an attempt is prepared with.
-- name: GetNodeRunToEnd :one
SELECT n.id, n.attempt, n.finished_at, n.flowchart_node_id, n.flowchart_run_id, r.flowchart_version_id
FROM node_run n LEFT JOIN flowchart_run r ON r.id = n.flowchart_run_id WHERE n.id = $1;

-- name: GetRun :one
SELECT * FROM flowchart_run WHERE id = $1;

-- What an engine transaction changes of a run, written once at its end.
-- name: SaveRun :exec
UPDATE flowchart_run
SET status = @status, output = @output, output_blob = @output_blob, output_bytes = @output_bytes, error = @error, marking = @marking, node_executions = @node_executions,
    started_at = @started_at, finished_at = @finished_at, deadline_at = @deadline_at, paused_at = @paused_at, cancel_requested_at = @cancel_requested_at
WHERE id = @id;

-- The first claimed node starts the run; later claims find nothing to do and take no lock.
-- name: MarkRunStarted :execrows
UPDATE flowchart_run SET status = 'running', started_at = now() WHERE id = $1 AND status = 'queued';

-- name: ListRuns :many
SELECT sqlc.embed(r), f.name AS flowchart_name
FROM flowchart_run r JOIN flowchart f ON f.id = r.flowchart_id
WHERE r.project_id = @project_id
  AND (sqlc.narg('flowchart_id')::bigint IS NULL OR r.flowchart_id = sqlc.narg('flowchart_id'))
  AND (sqlc.narg('schedule_id')::bigint IS NULL OR r.schedule_id = sqlc.narg('schedule_id'))
  AND (sqlc.narg('statuses')::text[] IS NULL OR r.status = ANY (sqlc.narg('statuses')::text[]))
  AND (@before_id::bigint = 0 OR r.id < @before_id)
ORDER BY r.id DESC
LIMIT @max_rows;

-- name: GetVersion :one
SELECT v.*, f.max_node_executions, f.max_runtime_minutes, f.max_parallel_nodes, f.project_id, f.deleted_at
FROM flowchart_version v JOIN flowchart f ON f.id = v.flowchart_id
WHERE v.id = $1;

-- name: GetCurrentVersion :one
SELECT v.*, f.max_node_executions, f.max_runtime_minutes, f.max_parallel_nodes, f.project_id, f.deleted_at
FROM flowchart f JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
WHERE f.id = $1;

-- name: InsertNodeRun :one
INSERT INTO node_run (project_id, flowchart_run_id, flowchart_id, flowchart_node_id, kind, title, status, max_attempts,
                      backoff_seconds, timeout_seconds, execution_index, queue, triggers, output_state, output_blob, output_bytes,
                      routing_state, error, request_id, correlation_id, queued_at, started_at, finished_at, finish_order, traceparent, in_worker,
                      execution_mode, config, input_context, retry_of)
VALUES (@project_id, @flowchart_run_id, @flowchart_id, @flowchart_node_id, @kind, @title, @status, @max_attempts,
        @backoff_seconds, @timeout_seconds, @execution_index, @queue, @triggers, @output_state, @output_blob, @output_bytes,
        @routing_state, @error, @request_id, @correlation_id, @queued_at, @started_at, @finished_at, @finish_order, @traceparent, @in_worker,
        @execution_mode, @config, @input_context, @retry_of)
RETURNING *;

-- name: GetNodeRun :one
SELECT * FROM node_run WHERE id = $1;

-- name: LockNodeRun :one
SELECT * FROM node_run WHERE id = $1 FOR UPDATE;

-- name: ListNodeRunsOfRun :many
SELECT * FROM node_run WHERE flowchart_run_id = $1 ORDER BY id;

-- name: LockLiveNodeRuns :many
SELECT * FROM node_run WHERE flowchart_run_id = $1 AND finished_at IS NULL ORDER BY id FOR UPDATE;

-- name: CountExecutions :many
SELECT flowchart_node_id, count(*)::int AS n FROM node_run WHERE flowchart_run_id = $1 GROUP BY flowchart_node_id;

-- The node run that has the newest output of each node; what nodes.<id> means in an expression. No content: this
-- is asked under the run's lock.
-- name: LatestOutputs :many
SELECT DISTINCT ON (flowchart_node_id) flowchart_node_id, id
FROM node_run
WHERE flowchart_run_id = @flowchart_run_id AND status IN ('succeeded', 'degraded')
  AND (sqlc.narg('node_ids')::text[] IS NULL OR flowchart_node_id = ANY (sqlc.narg('node_ids')::text[]))
ORDER BY flowchart_node_id, id DESC;

-- name: OutputsOf :many
SELECT id, output_state, output_blob, output_bytes FROM node_run WHERE id = ANY (@ids::bigint[]);

-- Whether a worker lives that cannot read outputs from blobs.
-- name: HasOldWorker :one
SELECT EXISTS (SELECT FROM worker_process WHERE level < @level AND tombstone_at IS NULL AND stopped_at IS NULL);

-- name: InsertArtifact :one
INSERT INTO artifact (project_id, flowchart_run_id, node_run_id, attempt, name, kind, media_type, size, blob)
VALUES (@project_id, @flowchart_run_id, @node_run_id, @attempt, @name, @kind, @media_type, @size, @blob)
RETURNING *;

-- name: ListArtifacts :many
SELECT * FROM artifact WHERE node_run_id = $1 ORDER BY attempt, name;

-- name: GetArtifact :one
SELECT * FROM artifact WHERE id = $1;

-- The compare-and-set of a claim: only a queued, due node run of a queue that is not paused, only for a worker that has not
-- been declared dead.
-- name: ClaimNodeRun :one
UPDATE node_run n
SET status = 'running', attempt = n.attempt + 1, started_at = coalesce(n.started_at, now()), current_stage = NULL
WHERE n.id = @id AND n.status = 'queued' AND n.run_after <= now()
  AND EXISTS (SELECT 1 FROM worker_process w WHERE w.id = @worker_process_id AND w.tombstone_at IS NULL AND w.stopped_at IS NULL)
  AND NOT EXISTS (SELECT 1 FROM queue_pause p WHERE p.queue = n.queue)
RETURNING n.*;

-- name: InsertAttempt :one
INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, executor, queued_at, deadline_at)
VALUES (@node_run_id, @number, @worker_process_id, 'running', @executor, @queued_at, now() + make_interval(secs => @timeout_seconds::float8))
RETURNING *;

-- Ends an attempt if it still is the open one: the fence of every late writer.
-- name: FinishAttempt :one
UPDATE node_attempt
SET status = @status, error = @error, usage = @usage, stages = @stages, started_at = coalesce(started_at, @started_at),
    first_token_at = coalesce(first_token_at, @first_token_at),
    dispatch_status = CASE WHEN executor <> 'kubernetes' THEN @dispatch_status WHEN confirmed_at IS NULL THEN 'dispatch_failed' ELSE 'dispatch_confirmed' END,
    dispatch_uncertain = false, payload_blob = NULL, let_go_at = NULL,
    provider_dispatch_id = coalesce(sqlc.narg('provider_dispatch_id'), provider_dispatch_id), finished_at = now()
WHERE node_run_id = @node_run_id AND number = @number AND finished_at IS NULL
  AND (sqlc.narg('holder')::uuid IS NULL OR worker_process_id = sqlc.narg('holder'))
RETURNING worker_process_id, executor, queued_at, claimed_at, started_at, first_token_at, finished_at;

-- name: SaveNodeRun :exec
UPDATE node_run
SET status = @status, failures = @failures, lost = @lost, input_context = coalesce(@input_context, input_context),
    output_state = @output_state, output_blob = @output_blob, output_bytes = @output_bytes, routing_state = @routing_state, current_stage = @current_stage, error = @error, usage = @usage,
    run_after = @run_after, queued_at = @queued_at, finished_at = @finished_at, finish_order = @finish_order,
    cancel_requested_at = @cancel_requested_at
WHERE id = @id;

-- Progress of running attempts; what comes from an attempt that is no longer the open one is dropped.
-- name: SaveProgress :execrows
UPDATE node_attempt
SET stages = @stages, started_at = coalesce(started_at, @started_at), first_token_at = coalesce(first_token_at, @first_token_at),
    provider_dispatch_id = coalesce(sqlc.narg('provider_dispatch_id'), provider_dispatch_id), dispatch_status = @dispatch_status
WHERE node_run_id = @node_run_id AND number = @number AND finished_at IS NULL;

-- name: SaveStage :execrows
UPDATE node_run
SET current_stage = coalesce(sqlc.narg('current_stage'), current_stage), input_context = coalesce(@input_context, input_context)
WHERE id = @id AND attempt = @attempt AND status IN ('running', 'cancelling');

-- name: RequestCancel :exec
UPDATE node_attempt SET status = 'cancelling', cancel_requested_at = coalesce(cancel_requested_at, now())
WHERE node_run_id = $1 AND finished_at IS NULL;

-- name: ListAttempts :many
SELECT sqlc.embed(a), w.hostname, w.pid, w.version AS worker_version, w.started_at AS worker_started_at, w.stopped_at, w.tombstone_at
FROM node_attempt a JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.node_run_id = $1 ORDER BY a.number;

-- name: ListAttemptsOfRun :many
SELECT sqlc.embed(a), n.flowchart_node_id, n.title, n.kind, n.execution_index, w.hostname, w.pid
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id JOIN worker_process w ON w.id = a.worker_process_id
WHERE n.flowchart_run_id = $1
ORDER BY a.claimed_at, a.id;

-- name: GetOpenAttempt :one
SELECT * FROM node_attempt WHERE node_run_id = $1 AND finished_at IS NULL;

-- Attempts whose worker is gone: what the recovery sweep takes up. Those in pods go on without it and get a new holder.
-- name: ListLostAttempts :many
SELECT a.node_run_id, a.number, n.flowchart_run_id
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.finished_at IS NULL AND a.executor <> 'kubernetes' AND (w.tombstone_at IS NOT NULL OR w.stopped_at IS NOT NULL)
ORDER BY n.flowchart_run_id, a.node_run_id
LIMIT @max_rows;

-- name: ListOverdueRuns :many
SELECT id FROM flowchart_run
WHERE finished_at IS NULL AND deadline_at < now() AND status NOT IN ('cancelling', 'paused') ORDER BY id LIMIT @max_rows;

-- name: CancelOrders :many
SELECT node_run_id, number FROM node_attempt
WHERE worker_process_id = $1 AND finished_at IS NULL AND cancel_requested_at IS NOT NULL;

-- Holders that did not confirm a cancel in time. A pod that has not confirmed may still run: its holder or the reconciler ends it.
-- name: ListStuckCancels :many
SELECT a.node_run_id, a.number, n.flowchart_run_id FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id
WHERE a.finished_at IS NULL AND a.executor <> 'kubernetes' AND a.cancel_requested_at < now() - make_interval(secs => @grace_seconds::float8)
ORDER BY n.flowchart_run_id, a.node_run_id LIMIT @max_rows;

-- name: ListNodeRuns :many
SELECT * FROM node_run
WHERE project_id = @project_id
  AND (sqlc.narg('flowchart_run_id')::bigint IS NULL OR flowchart_run_id = sqlc.narg('flowchart_run_id'))
  AND (sqlc.narg('statuses')::text[] IS NULL OR status = ANY (sqlc.narg('statuses')::text[]))
  AND (sqlc.narg('kinds')::text[] IS NULL OR kind = ANY (sqlc.narg('kinds')::text[]))
  AND (sqlc.narg('quick')::boolean IS NULL OR (flowchart_run_id IS NULL) = sqlc.narg('quick'))
  AND (@before_id::bigint = 0 OR id < @before_id)
ORDER BY id DESC
LIMIT @max_rows;

-- Who was asked to stop in a run, and how it ended: the attempts that got an order, and what was cancelled before it began.
-- asked and confirmed count beyond the limit.
-- name: ListCancellations :many
SELECT n.id AS node_run_id, n.flowchart_node_id, n.title, n.status AS node_status, n.cancel_requested_at AS node_asked_at, n.finished_at AS node_finished_at,
       a.number, a.status, a.executor, a.error, a.cancel_requested_at, a.finished_at, w.id AS worker_id, w.hostname, w.pid,
       count(*) OVER ()::int AS asked, (count(*) FILTER (WHERE a.id IS NULL OR a.finished_at IS NOT NULL) OVER ())::int AS confirmed
FROM node_run n
LEFT JOIN node_attempt a ON a.node_run_id = n.id AND a.cancel_requested_at IS NOT NULL
LEFT JOIN worker_process w ON w.id = a.worker_process_id
WHERE n.flowchart_run_id = @flowchart_run_id AND (n.cancel_requested_at IS NOT NULL OR a.cancel_requested_at IS NOT NULL)
ORDER BY n.id, a.number LIMIT @max_rows;

-- The newest of one node run, whether or not it belongs to a run. The columns are those of ListCancellations.
-- name: GetCancellation :one
SELECT n.id AS node_run_id, n.flowchart_node_id, n.title, n.status AS node_status, n.cancel_requested_at AS node_asked_at, n.finished_at AS node_finished_at,
       a.number, a.status, a.executor, a.error, a.cancel_requested_at, a.finished_at, w.id AS worker_id, w.hostname, w.pid,
       1::int AS asked, (CASE WHEN a.id IS NULL OR a.finished_at IS NOT NULL THEN 1 ELSE 0 END)::int AS confirmed
FROM node_run n
LEFT JOIN node_attempt a ON a.node_run_id = n.id AND a.cancel_requested_at IS NOT NULL
LEFT JOIN worker_process w ON w.id = a.worker_process_id
WHERE n.id = @node_run_id AND (n.cancel_requested_at IS NOT NULL OR a.cancel_requested_at IS NOT NULL)
ORDER BY a.number DESC LIMIT 1;

-- name: ListRetriesOf :many
SELECT id FROM flowchart_run WHERE retry_of = $1 ORDER BY id DESC LIMIT 20;

-- name: GetVersionByNumber :one
SELECT id FROM flowchart_version WHERE flowchart_id = @flowchart_id AND number = @number;

-- What a run did, without its content; of decisions also what they decided.
-- name: ListHistory :many
SELECT id, flowchart_node_id, kind, title, status, triggers, routing_state, finish_order, finished_at,
       coalesce(CASE WHEN kind = 'decision' THEN output_state END, 'null')::jsonb AS decision
FROM node_run WHERE flowchart_run_id = @flowchart_run_id
ORDER BY finish_order NULLS FIRST, finished_at, id
LIMIT @max_rows;

-- name: TakeNodeRunIDs :many
SELECT nextval(pg_get_serial_sequence('node_run', 'id'))::bigint AS id FROM generate_series(1, @n::int);

-- Copies of what was done before, as node runs of another run. The output is the same, the work is not counted again.
-- name: CopyNodeRuns :many
INSERT INTO node_run (id, project_id, flowchart_run_id, flowchart_id, flowchart_node_id, kind, title, status, max_attempts, backoff_seconds,
                      timeout_seconds, execution_index, queue, triggers, input_context, output_state, output_blob, output_bytes, routing_state,
                      execution_mode, request_id, correlation_id, created_at, started_at, finished_at, finish_order, reused_from)
OVERRIDING SYSTEM VALUE
SELECT u.id, o.project_id, @flowchart_run_id, o.flowchart_id, o.flowchart_node_id, o.kind, u.title, o.status, o.max_attempts, o.backoff_seconds,
       o.timeout_seconds, u.execution_index, o.queue, u.triggers, o.input_context, o.output_state, o.output_blob, o.output_bytes, o.routing_state,
       o.execution_mode, @request_id, @correlation_id, @now, @now, @now, u.finish_order, coalesce(o.reused_from, o.id)
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@sources::bigint[]) AS source, unnest(@titles::text[]) AS title,
             unnest(@execution_indexes::int[]) AS execution_index, unnest(@triggers::jsonb[]) AS triggers, unnest(@finish_orders::int[]) AS finish_order) u
JOIN node_run o ON o.id = u.source
ORDER BY u.id
RETURNING id, reused_from, execution_mode, output_state IS NOT NULL OR output_blob IS NOT NULL AS has_output;

-- name: CopyArtifacts :exec
INSERT INTO artifact (project_id, flowchart_run_id, node_run_id, attempt, name, kind, media_type, size, blob)
SELECT a.project_id, @flowchart_run_id, u.id, a.attempt, a.name, a.kind, a.media_type, a.size, a.blob
FROM (SELECT unnest(@ids::bigint[]) AS id, unnest(@sources::bigint[]) AS source) u JOIN artifact a ON a.node_run_id = u.source
ORDER BY u.id, a.attempt, a.name;

-- What the span of a run says beside its row: the flowchart, and what the run repeats.
-- name: GetTraceNames :one
SELECT f.name, coalesce(old.traceparent, '')::text AS retried_traceparent
FROM flowchart_run r JOIN flowchart f ON f.id = r.flowchart_id LEFT JOIN flowchart_run old ON old.id = r.retry_of
WHERE r.id = $1;

-- Attempts in pods ---------------------------------------------------------------

-- Gives an attempt in a pod whose holder is gone, or has let go, to a worker that lives.
-- name: AdoptAttempt :one
UPDATE node_attempt a SET worker_process_id = @worker_process_id, let_go_at = NULL
WHERE a.node_run_id = @node_run_id AND a.finished_at IS NULL AND a.executor = 'kubernetes'
  AND (a.let_go_at IS NOT NULL OR EXISTS (SELECT 1 FROM worker_process w
       WHERE w.id = a.worker_process_id AND (w.tombstone_at IS NOT NULL OR w.stopped_at IS NOT NULL)))
  AND EXISTS (SELECT 1 FROM worker_process w WHERE w.id = @worker_process_id AND w.tombstone_at IS NULL AND w.stopped_at IS NULL)
RETURNING *;

-- The fence of a holder: the attempt is open and this worker's.
-- name: LockHeldAttempt :one
SELECT * FROM node_attempt
WHERE node_run_id = @node_run_id AND number = @number AND worker_process_id = @worker_process_id
  AND finished_at IS NULL AND executor = 'kubernetes'
FOR UPDATE;

-- name: LockAttempt :one
SELECT * FROM node_attempt WHERE node_run_id = @node_run_id AND number = @number FOR UPDATE;

-- name: GetAttempt :one
SELECT * FROM node_attempt WHERE node_run_id = @node_run_id AND number = @number;

-- name: LetGoAttempt :execrows
UPDATE node_attempt SET let_go_at = now()
WHERE node_run_id = @node_run_id AND number = @number AND worker_process_id = @worker_process_id
  AND finished_at IS NULL AND let_go_at IS NULL AND executor = 'kubernetes';

-- A new token ends the one before it.
-- name: BeginDispatch :one
UPDATE node_attempt
SET dispatch_status = 'dispatch_pending', provider_dispatch_id = @provider_dispatch_id, token_hash = @token_hash, payload_blob = @payload_blob,
    dispatched_at = coalesce(dispatched_at, now()), submitted_at = NULL
WHERE node_run_id = @node_run_id AND number = @number
RETURNING *;

-- name: SubmitDispatch :one
UPDATE node_attempt SET dispatch_status = 'dispatch_submitted', submitted_at = coalesce(submitted_at, now())
WHERE node_run_id = @node_run_id AND number = @number
RETURNING *;

-- name: SetDispatchUncertain :one
UPDATE node_attempt SET dispatch_uncertain = @dispatch_uncertain
WHERE node_run_id = @node_run_id AND number = @number
RETURNING *;

-- A pod may start: it is noted, and the node's own time begins.
-- name: ConfirmDispatch :one
UPDATE node_attempt
SET dispatch_status = 'dispatch_confirmed', dispatch_uncertain = false, pod_uid = @pod_uid, confirmed_at = now(),
    submitted_at = coalesce(submitted_at, now()), started_at = coalesce(started_at, now()), dispatch_note = NULL,
    deadline_at = now() + make_interval(secs => @timeout_seconds::float8)
WHERE node_run_id = @node_run_id AND number = @number
RETURNING *;

-- A sentence about the pod; how it ended is also told after the end.
-- name: NoteDispatch :one
UPDATE node_attempt SET dispatch_note = @dispatch_note
WHERE node_run_id = @node_run_id AND number = @number AND worker_process_id = @worker_process_id AND executor = 'kubernetes'
RETURNING *;

-- What a pod reported: how far, and what became of the attempt's progress.
-- name: SaveReport :exec
UPDATE node_attempt
SET event_n = @event_n, text_offset = @text_offset, stages = @stages, first_token_at = coalesce(first_token_at, @first_token_at)
WHERE node_run_id = @node_run_id AND number = @number;

-- name: FindAttemptByToken :one
SELECT a.node_run_id, a.number, a.pod_uid, a.finished_at, a.payload_blob, n.flowchart_run_id
FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id WHERE a.token_hash = @token_hash;

-- name: GetDispatch :one
SELECT sqlc.embed(a), n.timeout_seconds FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id
WHERE a.node_run_id = @node_run_id AND a.number = @number AND a.executor = 'kubernetes';

-- name: ListOpenDispatches :many
SELECT sqlc.embed(a), n.timeout_seconds FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id
WHERE a.finished_at IS NULL AND a.executor = 'kubernetes' ORDER BY a.node_run_id;

-- name: SumUploads :one
SELECT count(*)::int AS n, coalesce(sum(size), 0)::bigint AS bytes FROM attempt_upload
WHERE node_run_id = @node_run_id AND number = @number AND name <> @name;

-- name: SaveUpload :exec
INSERT INTO attempt_upload (node_run_id, number, name, media_type, size, blob)
VALUES (@node_run_id, @number, @name, @media_type, @size, @blob)
ON CONFLICT (node_run_id, number, name) DO UPDATE SET media_type = excluded.media_type, size = excluded.size, blob = excluded.blob;

-- name: ListUploads :many
SELECT name, media_type, size, blob FROM attempt_upload WHERE node_run_id = @node_run_id AND number = @number;

-- name: DeleteUploads :exec
DELETE FROM attempt_upload WHERE node_run_id = @node_run_id AND number = @number;

-- name: SumPodLog :one
SELECT coalesce(max(seq), 0)::int AS seq, coalesce(sum(octet_length(text)), 0)::bigint AS bytes FROM attempt_pod_log
WHERE node_run_id = @node_run_id AND number = @number;

-- name: InsertPodLog :exec
INSERT INTO attempt_pod_log (node_run_id, number, seq, text) VALUES (@node_run_id, @number, @seq, @text);

-- name: ListPodLog :many
SELECT seq, at, text FROM attempt_pod_log
WHERE node_run_id = @node_run_id AND number = @number AND seq > @after ORDER BY seq LIMIT @max_rows;
