-- name: CountUsers :one
SELECT count(*) FROM app_user;

-- name: InsertUser :one
INSERT INTO app_user (email, password_hash, role) VALUES (@email, @password_hash, @role) RETURNING *;

-- name: UserByEmail :one
SELECT * FROM app_user WHERE lower(email) = lower(@email);

-- name: SetSetupToken :exec
INSERT INTO setup_token (token_hash) VALUES ($1)
ON CONFLICT (only_row) DO UPDATE SET token_hash = excluded.token_hash, created_at = now();

-- name: SetupToken :one
SELECT token_hash FROM setup_token;

-- The row's lock lets one of several that hold the token set up the first admin.
-- name: LockSetupToken :one
SELECT token_hash FROM setup_token FOR UPDATE;

-- name: DeleteSetupToken :exec
DELETE FROM setup_token;

-- name: InsertSession :exec
INSERT INTO session (app_user_id, token_hash, user_agent, expires_at) VALUES (@app_user_id, @token_hash, @user_agent, @expires_at);

-- name: SessionByHash :one
SELECT s.id, s.last_seen_at, s.expires_at, sqlc.embed(u)
FROM session s JOIN app_user u ON u.id = s.app_user_id
WHERE s.token_hash = $1 AND s.expires_at > now() AND u.disabled_at IS NULL;

-- name: TouchSession :exec
UPDATE session SET last_seen_at = now(), expires_at = @expires_at WHERE id = @id;

-- name: DeleteExpired :exec
WITH s AS (DELETE FROM session WHERE expires_at < now()), i AS (DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours')
DELETE FROM login_failure WHERE at < now() - interval '1 day';

-- name: InsertAPIKey :one
INSERT INTO api_key (app_user_id, name, prefix, key_hash) VALUES (@app_user_id, @name, @prefix, @key_hash) RETURNING *;

-- name: ListAPIKeys :many
SELECT * FROM api_key WHERE app_user_id = $1 AND revoked_at IS NULL ORDER BY id DESC;

-- name: RevokeAPIKey :execrows
UPDATE api_key SET revoked_at = now() WHERE id = @id AND app_user_id = @app_user_id AND revoked_at IS NULL;

-- name: APIKeyByHash :one
SELECT k.id, k.last_used_at, sqlc.embed(u)
FROM api_key k JOIN app_user u ON u.id = k.app_user_id
WHERE k.key_hash = $1 AND k.revoked_at IS NULL AND u.disabled_at IS NULL;

-- name: TouchAPIKey :exec
UPDATE api_key SET last_used_at = now() WHERE id = $1;

-- name: InsertFailures :exec
INSERT INTO login_failure (subject) SELECT unnest(@subjects::text[]);

-- name: CountFailures :one
SELECT coalesce(max(n), 0)::int AS worst, coalesce(max(oldest), now())::timestamptz AS oldest
FROM (SELECT subject, count(*) AS n, min(at) AS oldest FROM login_failure
      WHERE subject = ANY (@subjects::text[]) AND at > now() - make_interval(secs => @window_seconds::float8)
      GROUP BY subject) f;

-- name: DeleteFailures :exec
DELETE FROM login_failure WHERE subject = ANY (@subjects::text[]);

-- name: InsertAudit :exec
INSERT INTO audit_event (app_user_id, action, entity_kind, entity_id, request_id, detail)
VALUES (@app_user_id, @action, @entity_kind, @entity_id, @request_id, @detail);

-- name: GetUser :one
SELECT * FROM app_user WHERE id = $1;

-- name: ListUsers :many
SELECT * FROM app_user WHERE (@before_id::bigint = 0 OR id < @before_id) ORDER BY id DESC LIMIT @max_rows;

-- The admins' rows are locked in one order, so that two requests cannot each
-- take away what the other believes to be the last admin but one.
-- name: LockAdmins :many
SELECT id FROM app_user WHERE role = 'admin' AND disabled_at IS NULL ORDER BY id FOR UPDATE;

-- name: UpdateUser :one
UPDATE app_user
SET role = @role, disabled_at = @disabled_at, password_hash = @password_hash, updated_at = now()
WHERE id = @id RETURNING *;

-- name: DeleteSessionsOf :exec
DELETE FROM session WHERE app_user_id = $1;

-- name: EndSession :one
DELETE FROM session WHERE token_hash = $1 RETURNING app_user_id;

-- name: ListAudit :many
SELECT a.id, a.app_user_id, coalesce(u.email, '')::text AS email, a.action, a.entity_kind, a.entity_id, a.request_id, a.detail, a.at
FROM audit_event a LEFT JOIN app_user u ON u.id = a.app_user_id
WHERE a.project_id = 1 AND (@before_id::bigint = 0 OR a.id < @before_id)
  AND (@action::text = '' OR a.action = @action) AND (@entity_kind::text = '' OR a.entity_kind = @entity_kind)
  AND (@user_id::bigint = 0 OR a.app_user_id = @user_id)
ORDER BY a.id DESC LIMIT @max_rows;

-- One question for all credentials that are in use: which of them are in force.
-- name: CredentialsInForce :many
SELECT 'api_key'::text AS via, k.id AS credential_id, u.id AS user_id, u.email, u.role
FROM api_key k JOIN app_user u ON u.id = k.app_user_id
WHERE k.id = ANY (@keys::bigint[]) AND k.revoked_at IS NULL AND u.disabled_at IS NULL
UNION ALL
SELECT 'session'::text, s.id, u.id, u.email, u.role
FROM session s JOIN app_user u ON u.id = s.app_user_id
WHERE s.id = ANY (@sessions::bigint[]) AND s.expires_at > now() AND u.disabled_at IS NULL;
