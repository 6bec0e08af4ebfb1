-- name: ListFlowcharts :many
SELECT sqlc.embed(f), coalesce(v.node_count, 0)::int AS node_count,
       coalesce(r.id, 0)::bigint AS last_run_id, coalesce(r.status, '')::text AS last_run_status,
       coalesce(r.created_at, f.created_at)::timestamptz AS last_run_at
FROM flowchart f
LEFT JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
LEFT JOIN LATERAL (SELECT id, status, created_at FROM flowchart_run WHERE flowchart_id = f.id ORDER BY id DESC LIMIT 1) r ON true
WHERE f.project_id = 1 AND f.deleted_at IS NULL
  AND (@q::text = '' OR strpos(lower(f.name), lower(@q)) > 0 OR strpos(lower(f.description), lower(@q)) > 0)
  AND (@before_id::bigint = 0 OR f.id < @before_id)
ORDER BY f.id DESC LIMIT @max_rows;

-- name: GetFlowchart :one
SELECT sqlc.embed(f), coalesce(v.node_count, 0)::int AS node_count,
       coalesce(r.id, 0)::bigint AS last_run_id, coalesce(r.status, '')::text AS last_run_status,
       coalesce(r.created_at, f.created_at)::timestamptz AS last_run_at
FROM flowchart f
LEFT JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
LEFT JOIN LATERAL (SELECT id, status, created_at FROM flowchart_run WHERE flowchart_id = f.id ORDER BY id DESC LIMIT 1) r ON true
WHERE f.id = $1;

-- name: LockFlowchart :one
SELECT * FROM flowchart WHERE id = $1 FOR UPDATE;

-- name: InsertFlowchart :one
INSERT INTO flowchart (name, description, version, max_node_executions, max_runtime_minutes, max_parallel_nodes)
VALUES (@name, @description, 1, @max_node_executions, @max_runtime_minutes, @max_parallel_nodes) RETURNING *;

-- name: UpdateFlowchart :exec
UPDATE flowchart
SET name = @name, description = @description, max_node_executions = @max_node_executions,
    max_runtime_minutes = @max_runtime_minutes, max_parallel_nodes = @max_parallel_nodes,
    revision = revision + 1, updated_at = now()
WHERE id = @id;

-- name: SetVersion :one
UPDATE flowchart SET version = @version, revision = revision + 1, updated_at = now() WHERE id = @id RETURNING revision;

-- name: SetDeleted :exec
UPDATE flowchart SET deleted_at = @deleted_at, revision = revision + 1, updated_at = now() WHERE id = @id;

-- name: InsertVersion :one
INSERT INTO flowchart_version (flowchart_id, number, graph, findings, node_count, app_user_id)
VALUES (@flowchart_id, @number, @graph, @findings, @node_count, @app_user_id) RETURNING *;

-- name: GetVersion :one
SELECT * FROM flowchart_version WHERE flowchart_id = @flowchart_id AND number = @number;

-- name: ListVersions :many
SELECT id, flowchart_id, number, node_count, jsonb_array_length(findings)::int AS finding_count, created_at
FROM flowchart_version
WHERE flowchart_id = @flowchart_id AND (@before::int = 0 OR number < @before::int) ORDER BY number DESC LIMIT @max_rows;

-- name: SourceIDs :many
SELECT id FROM rag_source WHERE deleted_at IS NULL;

-- name: Models :many
SELECT id, (config ->> 'purpose' IS NOT DISTINCT FROM 'embedding')::boolean AS embeds FROM model WHERE project_id = 1;
