package queue

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// addTurn adds a turn to a thread, 0: to a new one, and gives the thread.
func addTurn(t *testing.T, db *postgres.DB, thread int64, status, set string) int64 {
	t.Helper()
	if thread == 0 {
		require.NoError(t, db.QueryRow(t.Context(), `INSERT INTO thread (title, title_source, response_complexity) VALUES ('t', 'user', 'low') RETURNING id`).Scan(&thread))
	}
	var worker *uuid.UUID
	if status == "running" {
		worker = new(addWorker(t, db, 4, "", Downloads))
	}
	var id int64
	require.NoError(t, db.QueryRow(t.Context(), `WITH b AS (INSERT INTO thread_branch (thread_id, from_depth, tip_depth) VALUES ($1, 0, 0) RETURNING id),
		m AS (INSERT INTO message (thread_id, branch_id, depth, role, status, finished_at) SELECT $1, id, 1, 'user', 'complete', now() FROM b RETURNING id)
		INSERT INTO turn (thread_id, kind, user_message_id, assistant_message_id, status, response_complexity, deadline_seconds, finished_at, worker_process_id)
		SELECT $1, 'message', m.id, m.id, $2, 'low', 60, CASE WHEN $2 = 'succeeded' THEN now() END, $3 FROM m RETURNING id`, thread, status, worker).Scan(&id))
	exec(t, db, `UPDATE turn SET `+set+` WHERE id = $1`, id)
	return thread
}

func TestTurnsAreCountedApartFromThePublicQueues(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	require.Zero(t, seen(t, b).Turns.Waiting)
	addWorker(t, db, 4, "", Default)
	addWorker(t, db, 4, "", Downloads)
	addWorker(t, db, 4, "tombstone_at = now()", Default)
	addWorker(t, db, 4, "draining_at = now()", Default)
	thread := addTurn(t, db, 0, "queued", "run_after = now() - interval '90 seconds'")
	addTurn(t, db, thread, "queued", "run_after = now() - interval '80 seconds'")
	addTurn(t, db, 0, "queued", "run_after = now() + interval '30 seconds'")
	addTurn(t, db, 0, "queued", "run_after = now() - interval '10 seconds'")
	addTurn(t, db, 0, "waiting", "attempt = 1")
	addTurn(t, db, 0, "running", "attempt = 1")
	addTurn(t, db, 0, "succeeded", "attempt = 1")
	exec(t, db, `INSERT INTO queue_minute (queue, minute, enqueued, finished, failed, waited, took) VALUES ($1, date_trunc('minute', now()), 7, 5, 0, '{}', '{}')`, Chat)

	s := seen(t, b)
	got := s.Turns
	require.Equal(t, 2, got.Waiting)
	require.InDelta(t, 90, s.At.Sub(*got.WaitingSince).Seconds(), 1)
	require.Equal(t, 1, got.Behind, "one waits for an earlier turn of its thread")
	require.Equal(t, 1, got.Later)
	require.Equal(t, 1, got.Approval)
	require.Equal(t, 1, got.Running)
	require.Equal(t, 1, got.Consumers, "one that is dead, draining, or takes other queues does not count")
	in, out := got.Stats.Rates(s.At)
	require.InDelta(t, 7, in.M1, 0.1)
	require.InDelta(t, 5, out.M1, 0.1)
	for _, q := range s.Queues {
		require.NotEqual(t, Chat, q.Name)
		require.Zero(t, q.Waiting)
	}
}
