-- name: ListServers :many
SELECT * FROM mcp_server WHERE project_id = 1 AND (@before_id::bigint = 0 OR id < @before_id) ORDER BY id DESC LIMIT @max_rows;

-- name: GetServer :one
SELECT * FROM mcp_server WHERE id = $1;

-- name: GetServers :many
SELECT * FROM mcp_server WHERE id = ANY (@ids::bigint[]) ORDER BY id;

-- name: LockServer :one
SELECT * FROM mcp_server WHERE id = $1 FOR UPDATE;

-- name: CountServers :one
SELECT count(*) FROM mcp_server;

-- name: InsertServer :one
INSERT INTO mcp_server (name, server_key, server_type, transport, config, enabled, timeout_seconds, allowed_tools, approval, approval_tools,
                        integrations, oauth_client_id)
VALUES (@name, @server_key, @server_type, @transport, @config, @enabled, @timeout_seconds, sqlc.narg('allowed_tools')::text[], @approval, @approval_tools::text[],
        @integrations::text[], @oauth_client_id)
RETURNING *;

-- name: UpdateServer :one
UPDATE mcp_server
SET name = @name, server_key = @server_key, transport = @transport, config = @config, enabled = @enabled, timeout_seconds = @timeout_seconds,
    allowed_tools = sqlc.narg('allowed_tools')::text[], approval = @approval, approval_tools = @approval_tools::text[], oauth_client_id = @oauth_client_id,
    integrations = @integrations::text[], revision = revision + 1, updated_at = now()
WHERE id = @id RETURNING *;

-- name: SetSecrets :one
UPDATE mcp_server SET secrets_ciphertext = @ciphertext, secrets = @secrets WHERE id = @id RETURNING *;

-- name: SetOAuth :one
UPDATE mcp_server SET oauth = @oauth, oauth_ciphertext = @ciphertext, revision = revision + 1, updated_at = now() WHERE id = @id RETURNING *;

-- A token that was refreshed is no change that anybody has to know of.
-- name: RefreshOAuth :exec
UPDATE mcp_server SET oauth = @oauth, oauth_ciphertext = @ciphertext WHERE id = @id;

-- name: SetLastTest :exec
UPDATE mcp_server SET last_test = @last_test WHERE id = @id;

-- name: DeleteServer :execrows
DELETE FROM mcp_server WHERE id = $1;

-- name: ListIntegrated :many
SELECT * FROM mcp_server WHERE server_type = 'integrated' ORDER BY server_key FOR UPDATE;

-- name: InsertOAuthFlow :exec
INSERT INTO mcp_oauth_flow (state_hash, mcp_server_id, app_user_id, ciphertext) VALUES (@state_hash, @mcp_server_id, @app_user_id, @ciphertext);

-- name: DropOldOAuthFlows :exec
DELETE FROM mcp_oauth_flow WHERE created_at < now() - interval '15 minutes';

-- A flow ends once: whoever deletes it has it.
-- name: TakeOAuthFlow :one
DELETE FROM mcp_oauth_flow WHERE state_hash = @state_hash AND app_user_id = @app_user_id AND created_at > now() - interval '15 minutes' RETURNING *;

-- name: ListIntegrations :many
SELECT * FROM integration ORDER BY key;

-- name: LockIntegration :one
SELECT * FROM integration WHERE key = $1 FOR UPDATE;

-- name: SaveIntegration :exec
-- What was never saved is shown with revision 1, so that the first save has the second.
INSERT INTO integration (key, config, ciphertext, secrets, revision) VALUES (@key, @config, @ciphertext, @secrets, 2)
ON CONFLICT (key) DO UPDATE SET config = excluded.config, ciphertext = excluded.ciphertext, secrets = excluded.secrets,
    revision = integration.revision + 1, updated_at = now();
