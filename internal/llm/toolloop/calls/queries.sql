-- name: ListCycles :many
SELECT * FROM tool_cycle WHERE owner_kind = @owner_kind AND owner_id = @owner_id ORDER BY cycle;

-- name: ListCalls :many
SELECT * FROM tool_call WHERE owner_kind = @owner_kind AND owner_id = @owner_id ORDER BY cycle, position;

-- name: InsertCycle :exec
INSERT INTO tool_cycle (owner_kind, owner_id, cycle, attempt, text, usage) VALUES (@owner_kind, @owner_id, @cycle, @attempt, @text, @usage);

-- name: InsertCall :one
INSERT INTO tool_call (owner_kind, owner_id, cycle, position, attempt, call_id, name, mcp_server_id, server_key, tool, arguments, signature,
                       repeatable, approval_required, status, result, error, finished_at)
VALUES (@owner_kind, @owner_id, @cycle, @position, @attempt, @call_id, @name, sqlc.narg('mcp_server_id'), @server_key, @tool, @arguments, @signature,
        @repeatable, @approval_required, @status, sqlc.narg('result'), @error, sqlc.narg('finished_at'))
RETURNING *;

-- name: StartCall :one
UPDATE tool_call SET status = 'running', attempt = @attempt, started_at = now()
WHERE id = @id AND status IN ('pending', 'approved', 'running') RETURNING *;

-- name: FinishCall :one
UPDATE tool_call
SET status = @status, attempt = @attempt, result = sqlc.narg('result'), result_blob = @result_blob, result_bytes = @result_bytes, error = @error,
    finished_at = now()
WHERE id = @id AND finished_at IS NULL AND status <> 'waiting' RETURNING *;

-- name: GetCall :one
SELECT * FROM tool_call WHERE id = $1;

-- name: LockCall :one
SELECT * FROM tool_call WHERE id = $1 FOR UPDATE;

-- name: DecideCall :one
UPDATE tool_call
SET status = @status, decided_by = sqlc.narg('decided_by'), decided_at = now(), decision_note = @note, result = sqlc.narg('result'), error = @error,
    finished_at = sqlc.narg('finished_at')
WHERE id = @id AND status = 'waiting' RETURNING *;

-- name: CountWaiting :one
SELECT count(*) FROM tool_call WHERE owner_kind = @owner_kind AND owner_id = @owner_id AND status = 'waiting';

-- What an owner that ended leaves open.
-- name: CancelCalls :many
UPDATE tool_call SET status = CASE WHEN status = 'running' THEN 'unknown' ELSE 'cancelled' END, error = 'cancelled', finished_at = now()
WHERE owner_kind = @owner_kind AND owner_id = @owner_id AND finished_at IS NULL RETURNING *;

-- name: SearchCalls :many
SELECT sqlc.embed(c), coalesce(u.email, '')::text AS decided_by_email, n.flowchart_run_id, n.flowchart_id, coalesce(n.flowchart_node_id, '')::text AS flowchart_node_id,
       coalesce(n.title, h.title, '')::text AS title, t.thread_id
FROM tool_call c LEFT JOIN app_user u ON u.id = c.decided_by LEFT JOIN node_run n ON c.owner_kind = 'node_run' AND n.id = c.owner_id
    LEFT JOIN turn t ON c.owner_kind = 'turn' AND t.id = c.owner_id LEFT JOIN thread h ON h.id = t.thread_id
WHERE c.project_id = 1
  AND (@id::bigint = 0 OR c.id = @id)
  AND (@owner_kind::text = '' OR c.owner_kind = @owner_kind) AND (@owner_id::bigint = 0 OR c.owner_id = @owner_id)
  AND (@mcp_server_id::bigint = 0 OR c.mcp_server_id = @mcp_server_id)
  AND (sqlc.narg('statuses')::text[] IS NULL OR c.status = ANY (sqlc.narg('statuses')::text[]))
  AND (@before_id::bigint = 0 OR c.id < @before_id)
ORDER BY c.id DESC LIMIT @max_rows;

-- The holder of a node run's attempt, if it still may write: the attempt is the open one, and its worker was not declared dead.
-- name: FenceNode :one
SELECT n.id FROM node_run n JOIN node_attempt a ON a.node_run_id = n.id AND a.number = n.attempt JOIN worker_process w ON w.id = a.worker_process_id
WHERE n.id = @id AND n.attempt = @attempt AND n.status IN ('running', 'cancelling') AND a.finished_at IS NULL AND w.tombstone_at IS NULL
FOR SHARE OF n;

-- The same of a turn's attempt.
-- name: FenceTurn :one
SELECT t.id FROM turn t JOIN worker_process w ON w.id = t.worker_process_id
WHERE t.id = @id AND t.attempt = @attempt AND t.status IN ('running', 'cancelling') AND w.tombstone_at IS NULL
FOR SHARE OF t;
