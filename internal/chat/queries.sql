-- name: InsertThread :one
INSERT INTO thread (title, title_source, model_id, response_complexity, mcp_server_ids, source_ids, app_user_id)
VALUES (@title, @title_source, @model_id, @response_complexity, @mcp_server_ids, @source_ids, @app_user_id) RETURNING *;

-- name: GetThread :one
SELECT * FROM thread WHERE id = $1;

-- name: LockThread :one
SELECT * FROM thread WHERE id = $1 FOR UPDATE;

-- name: ListThreads :many
-- Keyset over (last_activity_at, id): before_at is null for the first page.
SELECT sqlc.embed(t), EXISTS (SELECT FROM turn u WHERE u.thread_id = t.id AND u.finished_at IS NULL) AS busy
FROM thread t
WHERE t.project_id = 1 AND t.delete_requested_at IS NULL AND (@status::text = '' OR t.status = @status)
  AND (@title::text = '' OR t.title ILIKE '%' || @title || '%')
  AND (sqlc.narg(before_at)::timestamptz IS NULL OR (t.last_activity_at, t.id) < (sqlc.narg(before_at)::timestamptz, @before_id::bigint))
ORDER BY t.last_activity_at DESC, t.id DESC LIMIT @max_rows;

-- name: UpdateThread :one
UPDATE thread SET title = @title, title_source = @title_source, model_id = @model_id, response_complexity = @response_complexity,
    mcp_server_ids = @mcp_server_ids, source_ids = @source_ids, revision = revision + 1, updated_at = now()
WHERE id = @id RETURNING *;

-- name: ArchiveThread :one
UPDATE thread SET status = 'archived', archived_at = now(), revision = revision + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: RestoreThread :one
UPDATE thread SET status = 'active', archived_at = NULL, delete_requested_at = NULL, purge_at = NULL, revision = revision + 1, updated_at = now()
WHERE id = $1 RETURNING *;

-- name: UndeleteThread :one
UPDATE thread SET delete_requested_at = NULL, purge_at = NULL, revision = revision + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: RequestThreadDelete :one
UPDATE thread SET delete_requested_at = now(), purge_at = now() + make_interval(secs => @undo_seconds::double precision), revision = revision + 1,
    updated_at = now()
WHERE id = @id RETURNING *;

-- name: ClearThread :one
UPDATE thread SET active_branch_id = NULL, message_count = 0, revision = revision + 1, updated_at = now(), last_activity_at = now()
WHERE id = $1 RETURNING *;

-- name: DeleteTurns :exec
DELETE FROM turn WHERE thread_id = $1;

-- name: DeleteBranches :exec
DELETE FROM thread_branch WHERE thread_id = $1;

-- name: DeleteSentAttachments :exec
DELETE FROM attachment WHERE thread_id = $1 AND message_id IS NOT NULL;

-- name: DeleteThread :execrows
DELETE FROM thread WHERE id = $1;

-- name: ListPurgeable :many
SELECT id FROM thread WHERE purge_at < now() ORDER BY purge_at LIMIT 50;

-- name: ShowBranch :one
UPDATE thread SET active_branch_id = @branch_id, revision = revision + 1, updated_at = now() WHERE id = @id RETURNING *;

-- name: UseBranch :exec
UPDATE thread_branch SET used_at = clock_timestamp() WHERE id = $1;

-- name: TouchThread :one
UPDATE thread SET active_branch_id = @branch_id, message_count = message_count + @messages::integer, last_activity_at = now() WHERE id = @id RETURNING *;

-- name: InsertBranch :one
INSERT INTO thread_branch (thread_id, parent_id, from_depth, tip_depth, used_at)
VALUES (@thread_id, @parent_id, @from_depth, @from_depth, clock_timestamp()) RETURNING *;

-- name: GetBranch :one
SELECT * FROM thread_branch WHERE id = $1;

-- name: GrowBranch :one
UPDATE thread_branch SET tip_depth = tip_depth + 1, used_at = clock_timestamp() WHERE id = $1 RETURNING *;

-- name: BestBranch :one
-- The branch last used among those that hold a message: its own and whatever forked from it at or after the message.
WITH RECURSIVE holding AS (
    SELECT b.id, b.used_at FROM thread_branch b WHERE b.id = @branch_id
    UNION
    SELECT c.id, c.used_at FROM thread_branch c JOIN holding h ON c.parent_id = h.id
    WHERE h.id <> @branch_id OR c.from_depth >= @depth
)
SELECT id FROM holding ORDER BY used_at DESC, id DESC LIMIT 1;

-- name: SetMessageTurn :exec
UPDATE message SET turn_id = @turn_id WHERE id = ANY (@ids::bigint[]);

-- name: InsertTurn :one
INSERT INTO turn (thread_id, kind, user_message_id, assistant_message_id, model_id, model_name, response_complexity, deadline_seconds,
                  app_user_id, request_id, correlation_id)
VALUES (@thread_id, @kind, @user_message_id, @assistant_message_id, @model_id, @model_name, @response_complexity, @deadline_seconds,
        @app_user_id, @request_id, @correlation_id) RETURNING *;

-- name: GetTurn :one
SELECT * FROM turn WHERE id = $1;

-- name: LockTurn :one
SELECT * FROM turn WHERE id = $1 FOR UPDATE;

-- name: ListUnfinished :many
SELECT * FROM turn WHERE thread_id = $1 AND finished_at IS NULL ORDER BY id;

-- name: ListTurns :many
SELECT * FROM turn WHERE thread_id = @thread_id AND (@before_id::bigint = 0 OR id < @before_id) ORDER BY id DESC LIMIT @max_rows;

-- name: ListTurnAttempts :many
SELECT sqlc.embed(a), w.hostname FROM turn_attempt a JOIN worker_process w ON w.id = a.worker_process_id
WHERE a.turn_id = $1 ORDER BY a.number DESC LIMIT 50;

-- name: ClaimTurn :one
-- The compare-and-set of a claim: the attempt gets its number here. Earlier turns of the thread go first.
UPDATE turn t SET status = 'running', phase = '', attempt = attempt + 1, worker_process_id = @worker_process_id, started_at = coalesce(started_at, now())
WHERE t.id = @id AND t.status = 'queued' AND t.run_after <= now()
  AND NOT EXISTS (SELECT FROM turn o WHERE o.thread_id = t.thread_id AND o.finished_at IS NULL AND o.id < t.id)
  AND EXISTS (SELECT 1 FROM worker_process w WHERE w.id = @worker_process_id AND w.tombstone_at IS NULL AND w.stopped_at IS NULL)
RETURNING t.*;

-- name: InsertTurnAttempt :exec
INSERT INTO turn_attempt (turn_id, number, worker_process_id) VALUES (@turn_id, @number, @worker_process_id);

-- name: GetTurnAttempt :one
SELECT * FROM turn_attempt WHERE turn_id = @turn_id AND number = @number;

-- name: SetPhase :one
-- Only the attempt that holds the turn moves it.
UPDATE turn SET phase = @phase, context = coalesce(sqlc.narg(context), context), model_id = @model_id, model_name = @model_name
WHERE id = @id AND attempt = @attempt AND worker_process_id = @worker_process_id AND status = 'running' RETURNING *;

-- name: NoteAsked :exec
UPDATE turn_attempt SET input_tokens = @input_tokens WHERE turn_id = @turn_id AND number = @number AND finished_at IS NULL;

-- name: EndTurnAttempt :execrows
UPDATE turn_attempt SET status = @status, error = @error, input_tokens = @input_tokens, output_tokens = @output_tokens, cached_tokens = @cached_tokens,
    tokens_estimated = @tokens_estimated, characters = @characters, finished_at = now()
WHERE turn_id = @turn_id AND number = @number AND finished_at IS NULL;

-- name: SettleTurn :one
UPDATE turn SET status = @status, phase = '', worker_process_id = NULL, lost = @lost, reason_code = @reason_code, error = @error,
    finish_reason = @finish_reason, input_tokens = input_tokens + @input_tokens, output_tokens = output_tokens + @output_tokens,
    cached_tokens = cached_tokens + @cached_tokens, tokens_estimated = tokens_estimated OR @tokens_estimated, cost_micros = @cost_micros,
    context = coalesce(sqlc.narg(context), context), checkpoint = @checkpoint, first_token_at = coalesce(first_token_at, sqlc.narg(first_token_at)),
    run_after = CASE WHEN @retry_seconds::double precision > 0 THEN now() + make_interval(secs => @retry_seconds) ELSE run_after END,
    finished_at = CASE WHEN @final::boolean THEN now() END
WHERE id = @id RETURNING *;

-- name: CountFailedAttempts :one
SELECT count(*) FROM turn_attempt WHERE turn_id = $1 AND status = 'failed';

-- name: RequestTurnCancel :one
UPDATE turn SET status = 'cancelling', cancel_requested_at = coalesce(cancel_requested_at, now()) WHERE id = $1 RETURNING *;

-- name: RequestAttemptCancel :exec
UPDATE turn_attempt SET cancel_requested_at = now() WHERE turn_id = @turn_id AND number = @number AND finished_at IS NULL;

-- name: NoteTurnCancel :exec
UPDATE turn SET cancel_requested_at = now() WHERE id = $1;

-- name: ResumeTurn :one
UPDATE turn SET status = 'queued', run_after = now() WHERE id = $1 AND status = 'waiting' RETURNING *;

-- name: ListLostTurns :many
SELECT t.id, t.thread_id, t.attempt FROM turn t JOIN worker_process w ON w.id = t.worker_process_id
WHERE t.finished_at IS NULL AND (w.tombstone_at IS NOT NULL OR w.stopped_at IS NOT NULL) ORDER BY t.id LIMIT 200;

-- name: ListStuckTurnCancels :many
SELECT t.id, t.thread_id, t.attempt FROM turn t
WHERE t.status = 'cancelling' AND t.cancel_requested_at < now() - make_interval(secs => @grace_seconds::double precision) ORDER BY t.id LIMIT 200;

-- name: ListDueTurns :many
-- The first unfinished turn of each thread, if it is queued and due for some seconds.
SELECT t.id FROM turn t
WHERE t.status = 'queued' AND t.run_after < now() - interval '5 seconds'
  AND NOT EXISTS (SELECT FROM turn o WHERE o.thread_id = t.thread_id AND o.finished_at IS NULL AND o.id < t.id)
ORDER BY t.run_after LIMIT 200;

-- name: NextTurn :one
SELECT * FROM turn WHERE thread_id = $1 AND finished_at IS NULL ORDER BY id LIMIT 1;

-- name: AddThreadUsage :one
UPDATE thread SET turn_count = turn_count + 1, input_tokens = input_tokens + @input_tokens, output_tokens = output_tokens + @output_tokens,
    cached_tokens = cached_tokens + @cached_tokens, cost_micros = cost_micros + @cost_micros, title = @title, title_source = @title_source,
    last_activity_at = now(), revision = revision + CASE WHEN title = @title THEN 0 ELSE 1 END
WHERE id = @id RETURNING *;

-- name: AddDayUsage :exec
INSERT INTO chat_usage AS u (day, model_name, turns, failed, input_tokens, output_tokens, cached_tokens, cost_micros, unpriced)
VALUES (current_date, @model_name, 1, @failed, @input_tokens, @output_tokens, @cached_tokens, @cost_micros, @unpriced)
ON CONFLICT (day, model_name) DO UPDATE SET turns = u.turns + 1, failed = u.failed + excluded.failed,
    input_tokens = u.input_tokens + excluded.input_tokens, output_tokens = u.output_tokens + excluded.output_tokens,
    cached_tokens = u.cached_tokens + excluded.cached_tokens, cost_micros = u.cost_micros + excluded.cost_micros,
    unpriced = u.unpriced + excluded.unpriced;

-- name: DayUsage :many
SELECT * FROM chat_usage WHERE day >= @from_day AND day <= @to_day ORDER BY day DESC, model_name LIMIT 5000;

-- name: ThreadUsage :many
SELECT model_name, count(*) AS turns, count(*) FILTER (WHERE status = 'failed') AS failed, sum(input_tokens)::bigint AS input_tokens,
    sum(output_tokens)::bigint AS output_tokens, sum(cached_tokens)::bigint AS cached_tokens, coalesce(sum(cost_micros), 0)::bigint AS cost_micros,
    count(*) FILTER (WHERE cost_micros IS NULL) AS unpriced, bool_or(tokens_estimated)::boolean AS estimated
FROM turn WHERE thread_id = $1 AND finished_at IS NOT NULL GROUP BY model_name ORDER BY model_name LIMIT 200;

-- name: InsertCompaction :one
INSERT INTO compaction (thread_id, turn_id, through_message_id, branch_id, depth, method, summary, message_count, tokens_before, tokens_after, reason)
VALUES (@thread_id, @turn_id, @through_message_id, @branch_id, @depth, @method, @summary, @message_count, @tokens_before, @tokens_after, @reason)
RETURNING *;

-- name: HoldsTurn :one
SELECT EXISTS (SELECT FROM turn WHERE id = @id AND attempt = @attempt AND worker_process_id = @worker_process_id AND finished_at IS NULL FOR NO KEY UPDATE);

-- name: ListCompactions :many
SELECT * FROM compaction WHERE thread_id = $1 ORDER BY id DESC LIMIT 200;

-- name: GetTokenRatio :one
SELECT ratio, samples FROM chat_token_ratio WHERE model_id = $1;

-- name: SetTokenRatio :exec
INSERT INTO chat_token_ratio AS r (model_id, ratio, samples) VALUES (@model_id, @ratio, 1)
ON CONFLICT (model_id) DO UPDATE SET ratio = excluded.ratio, samples = r.samples + 1, updated_at = now();

-- name: InsertAttachment :one
INSERT INTO attachment (thread_id, name, kind, media_type, size, pages, blob, text_blob, tokens, truncated, app_user_id)
VALUES (@thread_id, @name, @kind, @media_type, @size, @pages, @blob, @text_blob, @tokens, @truncated, @app_user_id) RETURNING *;

-- name: GetAttachment :one
SELECT * FROM attachment WHERE id = $1;

-- name: ListAttachments :many
SELECT * FROM attachment WHERE id = ANY (@ids::bigint[]) AND thread_id = @thread_id ORDER BY id;

-- name: ClaimAttachments :execrows
UPDATE attachment SET message_id = @message_id WHERE id = ANY (@ids::bigint[]) AND thread_id = @thread_id AND message_id IS NULL;

-- name: CountUnsent :one
SELECT count(*) FROM attachment WHERE thread_id = $1 AND message_id IS NULL;

-- name: DeleteUnsent :execrows
DELETE FROM attachment WHERE id = @id AND message_id IS NULL;

-- name: RemoveUnsent :execrows
DELETE FROM attachment WHERE message_id IS NULL AND created_at < now() - interval '24 hours';

-- name: InsertActivity :exec
INSERT INTO chat_activity (thread_id, thread_title, turn_id, class, action, reason_code, message, detail, app_user_id, request_id, correlation_id)
VALUES (@thread_id, @thread_title, @turn_id, @class, @action, @reason_code, @message, @detail, @app_user_id, @request_id, @correlation_id);

-- name: ListActivity :many
SELECT * FROM chat_activity
WHERE project_id = 1 AND (@before_id::bigint = 0 OR id < @before_id) AND (@thread_id::bigint = 0 OR thread_id = @thread_id)
  AND (cardinality(@classes::text[]) = 0 OR class = ANY (@classes::text[])) AND (@reason_code::text = '' OR reason_code = @reason_code)
  AND (sqlc.narg(since)::timestamptz IS NULL OR created_at >= sqlc.narg(since)::timestamptz)
ORDER BY id DESC LIMIT @max_rows;

-- name: LastSequence :one
SELECT coalesce((SELECT last_sequence FROM event_stream WHERE name = $1), 0)::bigint;

-- name: NewestModel :one
SELECT id FROM model
WHERE project_id = 1 AND config ->> 'purpose' IS DISTINCT FROM 'embedding' -- which answers nobody
ORDER BY id DESC LIMIT 1;

-- name: StreamedText :one
-- What an attempt has streamed so far, in order.
SELECT coalesce(string_agg(payload->>'text', '' ORDER BY sequence), '')::text
FROM event WHERE stream = @stream AND (payload->>'attempt')::integer = @attempt::integer;

-- name: StreamedParts :many
-- A call is told again with every step. Where it came first is its place, what came last is how it stands.
SELECT p.at::bigint AS at, p.part::json AS part
FROM (
    SELECT min((e.payload->>'offset')::bigint) OVER same AS at, min(e.sequence) OVER same AS first, max(e.sequence) OVER same AS last, e.sequence,
        e.payload->'part' AS part
    FROM event e
    WHERE e.stream = @stream AND (e.payload->>'attempt')::integer = @attempt::integer AND e.payload->'part' IS NOT NULL
    WINDOW same AS (PARTITION BY coalesce(e.payload->'part'->'tool_call'->>'id', e.sequence::text))
) p WHERE p.sequence = p.last ORDER BY p.first LIMIT 10000;
