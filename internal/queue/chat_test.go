package queue

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestTurnsHaveSlotsOfTheirOwn(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	nodes, turns := newGateway(), newGateway()
	c, stop := start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, ChatSlots: 2, Handlers: []Handler{nodes.handler("node"), turns.handler("turn")}})
	defer stop()
	require.NoError(t, insert(t, db, c, many("node", Default, 1, 2)...))
	await(t, nodes.began)
	require.NoError(t, insert(t, db, c, many("turn", Chat, 1, 3)...))
	await(t, turns.began)
	await(t, turns.began)
	require.Equal(t, 1, c.Busy(), "turns take no node slots")
	turns.let <- struct{}{}
	await(t, turns.began)
	require.Equal(t, 2, turns.most)
	require.Equal(t, 1, nodes.most)
	turns.let <- struct{}{}
	turns.let <- struct{}{}
}

func TestProcessesThatTakeNoNodesTakeNoTurns(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	turns := newGateway()
	other, stopOther := start(t, Options{DB: db, Queues: []string{Downloads}, Slots: 1, ChatSlots: 2, Handlers: []Handler{turns.handler("turn")}})
	defer stopOther()
	require.False(t, other.worksChat())
	require.NoError(t, insert(t, db, other, many("turn", Chat, 1, 1)...))
	_, stop := start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, ChatSlots: 1, Handlers: []Handler{turns.handler("turn")}})
	defer stop()
	await(t, turns.began)
	turns.let <- struct{}{}
}

func TestTheBeatBringsTheOrdersOfTurns(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	heard := make(chan []Held, 1)
	r := NewRegistry(RegistryOptions{
		DB: db, ID: uuid.New(), Owner: "o", Host: "h", Slots: 1, Queues: []string{}, Now: time.Now, Dead: func() {}, Orders: func(held []Held) { heard <- held },
	})
	_, err := r.Register(t.Context())
	require.NoError(t, err)
	exec(t, db, `WITH th AS (INSERT INTO thread (title, title_source, response_complexity) VALUES ('t', 'user', 'low') RETURNING id),
		b AS (INSERT INTO thread_branch (thread_id, tip_depth) SELECT id, 1 FROM th RETURNING id, thread_id),
		m AS (INSERT INTO message (thread_id, branch_id, depth, role, status) SELECT thread_id, id, 1, 'user', 'pending' FROM b RETURNING id, thread_id),
		u AS (INSERT INTO turn (thread_id, kind, user_message_id, assistant_message_id, status, attempt, worker_process_id, response_complexity, deadline_seconds)
			SELECT thread_id, 'message', id, id, 'cancelling', 1, $1, 'low', 1 FROM m RETURNING id)
		INSERT INTO turn_attempt (turn_id, number, worker_process_id, cancel_requested_at) SELECT id, 1, $1, now() FROM u`, r.o.ID)
	conn, err := r.beat(t.Context(), nil)
	require.NoError(t, err)
	defer closeConn(t.Context(), conn)
	held := await(t, heard)
	require.Len(t, held, 1)
	require.Positive(t, held[0].TurnID)
	require.Zero(t, held[0].NodeRunID)
}
