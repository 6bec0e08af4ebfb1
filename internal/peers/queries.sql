-- name: Announce :exec
INSERT INTO web_worker (name, hostname, pid, version, address) VALUES (@name, @hostname, @pid, @version, @address)
ON CONFLICT (name) DO UPDATE SET beat_at = now();

-- Those that were heard of within the time, and for how long each has been silent.
-- name: Heard :many
SELECT name, hostname, pid, version, address, started_at, extract(epoch FROM now() - beat_at)::float8 AS silent_seconds
FROM web_worker WHERE beat_at > now() - make_interval(secs => @within_seconds::float8) ORDER BY name LIMIT @max_rows;

-- name: Remove :exec
DELETE FROM web_worker WHERE name = ANY(@names::text[]);

-- name: Forget :exec
DELETE FROM web_worker WHERE beat_at < now() - make_interval(secs => @after_seconds::float8);
