-- name: ListProviders :many
SELECT * FROM provider WHERE project_id = 1 AND (@before_id::bigint = 0 OR id < @before_id) ORDER BY id DESC LIMIT @max_rows;

-- name: GetProvider :one
SELECT * FROM provider WHERE id = $1;

-- name: LockProvider :one
SELECT * FROM provider WHERE id = $1 FOR UPDATE;

-- name: InsertProvider :one
INSERT INTO provider (name, kind, base_url) VALUES (@name, @kind, @base_url) RETURNING *;

-- name: UpdateProvider :one
UPDATE provider SET name = @name, base_url = @base_url, revision = revision + 1, updated_at = now() WHERE id = @id RETURNING *;

-- name: SetProviderKey :one
UPDATE provider
SET api_key_ciphertext = @ciphertext, api_key_fingerprint = @fingerprint,
    api_key_set_at = CASE WHEN @ciphertext::bytea IS NULL THEN NULL ELSE now() END
WHERE id = @id RETURNING *;

-- name: DeleteProvider :execrows
DELETE FROM provider WHERE id = $1;

-- name: ListModels :many
SELECT sqlc.embed(m), p.name AS provider_name, p.kind AS provider_kind
FROM model m JOIN provider p ON p.id = m.provider_id
WHERE m.project_id = 1 AND (@before_id::bigint = 0 OR m.id < @before_id) ORDER BY m.id DESC LIMIT @max_rows;

-- name: GetModel :one
SELECT sqlc.embed(m), sqlc.embed(p) FROM model m JOIN provider p ON p.id = m.provider_id WHERE m.id = $1;

-- name: LockModel :one
SELECT * FROM model WHERE id = $1 FOR UPDATE;

-- name: InsertModel :one
INSERT INTO model (name, provider_id, model, config) VALUES (@name, @provider_id, @model, @config) RETURNING *;

-- name: UpdateModel :one
UPDATE model SET name = @name, provider_id = @provider_id, model = @model, config = @config, revision = revision + 1, updated_at = now()
WHERE id = @id RETURNING *;

-- name: DeleteModel :execrows
DELETE FROM model WHERE id = $1;

-- name: ModelIDs :many
SELECT id FROM model WHERE project_id = 1;
