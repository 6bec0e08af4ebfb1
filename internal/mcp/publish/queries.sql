-- name: GetTool :one
SELECT * FROM flowchart_tool WHERE flowchart_id = $1;

-- name: LockTool :one
SELECT * FROM flowchart_tool WHERE flowchart_id = $1 FOR UPDATE;

-- name: LockFlowchartForTool :one
SELECT deleted_at FROM flowchart WHERE id = $1 FOR SHARE;

-- name: InsertTool :one
INSERT INTO flowchart_tool (flowchart_id, name, description, enabled, wait_seconds)
VALUES (@flowchart_id, @name, @description, @enabled, @wait_seconds) RETURNING *;

-- name: UpdateTool :one
UPDATE flowchart_tool
SET name = @name, description = @description, enabled = @enabled, wait_seconds = @wait_seconds, revision = revision + 1, updated_at = now()
WHERE flowchart_id = @flowchart_id RETURNING *;

-- name: DeleteTool :execrows
DELETE FROM flowchart_tool WHERE flowchart_id = $1;

-- name: ListPublished :many
SELECT sqlc.embed(t), f.name AS flowchart_name, f.description AS flowchart_description, coalesce((SELECT n -> 'config' -> 'input_schema' FROM jsonb_array_elements(v.graph -> 'nodes') AS n WHERE n ->> 'kind' = 'start' LIMIT 1), 'null')::jsonb AS input_schema,
       jsonb_array_length(v.findings)::int AS finding_count
FROM flowchart_tool t
JOIN flowchart f ON f.id = t.flowchart_id AND f.deleted_at IS NULL
JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
WHERE t.enabled AND f.project_id = 1 AND t.name > @after::text
ORDER BY t.name LIMIT @max_rows;

-- name: FindPublished :one
SELECT sqlc.embed(t), f.name AS flowchart_name, f.description AS flowchart_description, coalesce((SELECT n -> 'config' -> 'input_schema' FROM jsonb_array_elements(v.graph -> 'nodes') AS n WHERE n ->> 'kind' = 'start' LIMIT 1), 'null')::jsonb AS input_schema,
       jsonb_array_length(v.findings)::int AS finding_count
FROM flowchart_tool t
JOIN flowchart f ON f.id = t.flowchart_id AND f.deleted_at IS NULL
JOIN flowchart_version v ON v.flowchart_id = f.id AND v.number = f.version
WHERE t.enabled AND f.project_id = 1 AND t.name = @name;

-- name: CountPublished :one
SELECT count(*) FROM flowchart_tool t JOIN flowchart f ON f.id = t.flowchart_id AND f.deleted_at IS NULL WHERE t.enabled AND f.project_id = 1;
