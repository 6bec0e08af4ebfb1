-- name: InsertSchedule :one
INSERT INTO schedule (name, target_kind, flowchart_id, rag_source_id, input, cron, every_seconds, time_zone, jitter_seconds, missed_policy, catch_up_limit,
                      overlap_policy, enabled, next_due_at, next_fire_at, app_user_id)
VALUES (@name, @target_kind, @flowchart_id, @rag_source_id, @input, @cron, @every_seconds, @time_zone, @jitter_seconds, @missed_policy, @catch_up_limit,
        @overlap_policy, @enabled, NULL, NULL, @app_user_id)
RETURNING *;

-- name: UpdateSchedule :exec
UPDATE schedule
SET name = @name, flowchart_id = @flowchart_id, input = @input, cron = @cron, every_seconds = @every_seconds, time_zone = @time_zone, jitter_seconds = @jitter_seconds,
    missed_policy = @missed_policy, catch_up_limit = @catch_up_limit, overlap_policy = @overlap_policy, enabled = @enabled,
    revision = revision + 1, updated_at = now()
WHERE id = @id;

-- name: SetDeleted :exec
UPDATE schedule
SET deleted_at = @deleted_at, next_due_at = NULL, next_fire_at = NULL, index_due_at = NULL, index_fire_at = NULL,
    revision = revision + 1, updated_at = now()
WHERE id = @id;

-- name: LockSchedule :one
SELECT sqlc.embed(s), now()::timestamptz AS db_now FROM schedule s WHERE s.id = $1 FOR UPDATE;

-- name: GetSchedule :one
SELECT sqlc.embed(s), coalesce(f.name, '') AS flowchart_name, (f.deleted_at IS NOT NULL)::boolean AS flowchart_deleted,
       coalesce(src.name, '') AS source_name, l.node_run_id AS last_node_run_id, coalesce(n.status, '') AS last_node_status,
       coalesce(l.id, 0)::bigint AS last_id, coalesce(l.due_at, s.created_at)::timestamptz AS last_due_at, coalesce(l.fired_at, s.created_at)::timestamptz AS last_fired_at,
       coalesce(l.outcome, '') AS last_outcome, coalesce(l.origin, '') AS last_origin, coalesce(l.reason, '') AS last_reason,
       coalesce(l.message, '') AS last_message, coalesce(l.missed, 0)::integer AS last_missed, l.flowchart_run_id AS last_run_id,
       coalesce(r.status, '') AS last_run_status, now()::timestamptz AS db_now
FROM schedule s
LEFT JOIN flowchart f ON f.id = s.flowchart_id
LEFT JOIN rag_source src ON src.id = s.rag_source_id
LEFT JOIN LATERAL (SELECT * FROM schedule_firing x WHERE x.schedule_id = s.id ORDER BY x.id DESC LIMIT 1) l ON true
LEFT JOIN flowchart_run r ON r.id = l.flowchart_run_id
LEFT JOIN node_run n ON n.id = l.node_run_id
WHERE s.id = $1;

-- name: ListSchedules :many
SELECT sqlc.embed(s), coalesce(f.name, '') AS flowchart_name, (f.deleted_at IS NOT NULL)::boolean AS flowchart_deleted,
       coalesce(src.name, '') AS source_name, l.node_run_id AS last_node_run_id, coalesce(n.status, '') AS last_node_status,
       coalesce(l.id, 0)::bigint AS last_id, coalesce(l.due_at, s.created_at)::timestamptz AS last_due_at, coalesce(l.fired_at, s.created_at)::timestamptz AS last_fired_at,
       coalesce(l.outcome, '') AS last_outcome, coalesce(l.origin, '') AS last_origin, coalesce(l.reason, '') AS last_reason,
       coalesce(l.message, '') AS last_message, coalesce(l.missed, 0)::integer AS last_missed, l.flowchart_run_id AS last_run_id,
       coalesce(r.status, '') AS last_run_status, now()::timestamptz AS db_now
FROM schedule s
LEFT JOIN flowchart f ON f.id = s.flowchart_id
LEFT JOIN rag_source src ON src.id = s.rag_source_id
LEFT JOIN LATERAL (SELECT * FROM schedule_firing x WHERE x.schedule_id = s.id ORDER BY x.id DESC LIMIT 1) l ON true
LEFT JOIN flowchart_run r ON r.id = l.flowchart_run_id
LEFT JOIN node_run n ON n.id = l.node_run_id
WHERE s.deleted_at IS NULL AND (sqlc.narg('flowchart_id')::bigint IS NULL OR s.flowchart_id = sqlc.narg('flowchart_id'))
  AND (sqlc.narg('rag_source_id')::bigint IS NULL OR s.rag_source_id = sqlc.narg('rag_source_id'))
  AND (@before_id::bigint = 0 OR s.id < @before_id)
ORDER BY s.id DESC LIMIT @max_rows;

-- The next schedule of a flowchart whose time has come and that no other scheduler has in its hands. The database's clock decides. The lock
-- lasts until the firing is written, so a schedule is in one pair of hands at a time; skip are those that just failed here.
-- name: ClaimDue :one
SELECT sqlc.embed(s), now()::timestamptz AS db_now FROM schedule s
WHERE s.next_fire_at <= now() AND s.id <> ALL (@skip::bigint[])
ORDER BY s.next_fire_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- ClaimDue of sources. The source is locked as well: indexing locks it anyway, and who edits a source locks it before its
-- schedule. Neither lock is waited for, so the order in which they are taken here does not matter.
-- name: ClaimDueSource :one
SELECT sqlc.embed(s), now()::timestamptz AS db_now FROM schedule s JOIN rag_source src ON src.id = s.rag_source_id
WHERE s.index_fire_at <= now() AND s.enabled AND s.deleted_at IS NULL AND s.id <> ALL (@skip::bigint[])
ORDER BY s.index_fire_at LIMIT 1 FOR NO KEY UPDATE OF src SKIP LOCKED FOR UPDATE OF s SKIP LOCKED;

-- The source of a schedule, before the schedule is locked.
-- name: LockSourceOf :exec
SELECT src.id FROM rag_source src JOIN schedule s ON s.rag_source_id = src.id WHERE s.id = @id FOR NO KEY UPDATE OF src;

-- Whose time it was is decided here: of two that write the same time, one writes nothing.
-- name: InsertFiring :execrows
INSERT INTO schedule_firing (schedule_id, due_at, origin, outcome, missed, reason, message)
VALUES (@schedule_id, @due_at, @origin, @outcome, @missed, @reason, @message)
ON CONFLICT (schedule_id, due_at) DO NOTHING;

-- name: SetFiringRun :exec
UPDATE schedule_firing SET flowchart_run_id = @flowchart_run_id WHERE schedule_id = @schedule_id AND due_at = @due_at;

-- name: SetFiringNode :exec
UPDATE schedule_firing SET node_run_id = @node_run_id WHERE schedule_id = @schedule_id AND due_at = @due_at;

-- Releases that know no schedules of sources fire whatever has a next_fire_at, so those have their times elsewhere.
-- name: SetNext :exec
UPDATE schedule
SET next_due_at = CASE WHEN rag_source_id IS NULL THEN sqlc.narg('due_at')::timestamptz END,
    next_fire_at = CASE WHEN rag_source_id IS NULL THEN sqlc.narg('fire_at')::timestamptz END,
    index_due_at = CASE WHEN rag_source_id IS NOT NULL THEN sqlc.narg('due_at')::timestamptz END,
    index_fire_at = CASE WHEN rag_source_id IS NOT NULL THEN sqlc.narg('fire_at')::timestamptz END
WHERE id = @id;

-- The run that keeps a schedule with the policy skip from its next one.
-- name: LiveRun :one
SELECT coalesce((SELECT r.id FROM flowchart_run r WHERE r.schedule_id = @schedule_id AND r.finished_at IS NULL ORDER BY r.id DESC LIMIT 1), 0)::bigint AS id;

-- The newest version without findings; the flowchart may have been edited into something that does not run.
-- name: NewestValidVersion :one
SELECT v.id, v.number, f.version AS current FROM flowchart f JOIN flowchart_version v ON v.flowchart_id = f.id
WHERE f.id = @flowchart_id AND f.deleted_at IS NULL AND v.findings = '[]'::jsonb
ORDER BY v.number DESC LIMIT 1;

-- name: FlowchartState :one
SELECT name, version, deleted_at FROM flowchart WHERE id = $1;

-- name: ListFirings :many
SELECT sqlc.embed(x), coalesce(r.status, '') AS run_status, coalesce(r.version, 0)::integer AS run_version, coalesce(n.status, '') AS node_status
FROM schedule_firing x LEFT JOIN flowchart_run r ON r.id = x.flowchart_run_id LEFT JOIN node_run n ON n.id = x.node_run_id
WHERE x.schedule_id = @schedule_id AND (@before_id::bigint = 0 OR x.id < @before_id)
ORDER BY x.id DESC LIMIT @max_rows;

-- name: ListEnabled :many
SELECT * FROM schedule WHERE next_fire_at IS NOT NULL OR (index_fire_at IS NOT NULL AND enabled AND deleted_at IS NULL)
ORDER BY coalesce(next_fire_at, index_fire_at) LIMIT @max_rows;

-- name: ClockNow :one
SELECT clock_timestamp()::timestamptz AS at;

-- name: SourceState :one
SELECT name, deleted_at FROM rag_source WHERE id = $1;

-- The index run that a schedule's last firings started, if it goes on.
-- name: LiveIndexRun :one
SELECT coalesce((SELECT n.id FROM schedule_firing x JOIN node_run n ON n.id = x.node_run_id
                 WHERE x.schedule_id = @schedule_id AND n.finished_at IS NULL ORDER BY n.id DESC LIMIT 1), 0)::bigint AS id;

-- name: OfSources :many
SELECT * FROM schedule WHERE rag_source_id = ANY (@ids::bigint[]) AND deleted_at IS NULL;

-- name: LockOfSource :one
SELECT * FROM schedule WHERE rag_source_id = @rag_source_id AND deleted_at IS NULL FOR UPDATE;

-- The schedule that was put aside together with its source.
-- name: PutAside :one
SELECT id FROM schedule WHERE rag_source_id = @rag_source_id AND deleted_at = @deleted_at ORDER BY id DESC LIMIT 1;
