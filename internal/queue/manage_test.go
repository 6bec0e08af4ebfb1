package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// steer pauses, resumes and the like, and gives whether that was a change.
func steer(t *testing.T, db *postgres.DB, f func(ctx context.Context, tx *postgres.Tx) (bool, error)) bool {
	t.Helper()
	changed := false
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		changed, err = f(ctx, tx)
		return err
	}))
	return changed
}

func pause(t *testing.T, b *Board, name string) bool {
	t.Helper()
	return steer(t, b.db, func(ctx context.Context, tx *postgres.Tx) (bool, error) { return b.Pause(ctx, tx, name, 0) })
}

func resume(t *testing.T, b *Board, name string) bool {
	t.Helper()
	return steer(t, b.db, func(ctx context.Context, tx *postgres.Tx) (bool, error) { return b.Resume(ctx, tx, name) })
}

// eventTypes gives what a stream says, as type and transition.
func eventTypes(t *testing.T, db *postgres.DB, stream string) []string {
	t.Helper()
	rows, err := event.ReadStream(t.Context(), db, stream, 0, 100)
	require.NoError(t, err)
	var out []string
	for _, r := range rows {
		var transition string
		require.NoError(t, db.QueryRow(t.Context(), `SELECT payload->>'transition' FROM event WHERE stream = $1 AND sequence = $2`,
			stream, r.Envelope.Sequence).Scan(&transition))
		out = append(out, r.Envelope.EventType+" "+transition)
	}
	return out
}

func TestPausedQueueIsTakenFromByNobodyUntilItIsResumed(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	done := make(chan int64, 8)
	// Paused before anybody consumed it: River does not even know the queue.
	b := newBoard(t, db, nil)
	require.True(t, pause(t, b, Downloads))
	require.False(t, pause(t, b, Downloads), "no change")
	c, _ := start(t, Options{DB: db, Queues: []string{Default, Downloads}, Slots: 2, Handlers: []Handler{into("thing", done)}})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "thing", ID: 1, Queue: Downloads}))
	for i := range int64(3) { // the other queue goes on; River polls each second at the latest
		require.NoError(t, insert(t, db, c, Pointer{Kind: "thing", ID: 10 + i, Queue: Default}))
		require.Equal(t, 10+i, await(t, done))
	}
	s := seen(t, b)
	require.Equal(t, 1, s.queue(Downloads).Waiting)
	require.NotNil(t, s.queue(Downloads).PausedAt)
	require.True(t, resume(t, b, Downloads))
	require.Equal(t, int64(1), await(t, done))
	require.False(t, resume(t, b, Downloads), "no change")
	require.Equal(t, []string{"config:queue:updated paused", "config:queue:updated resumed"}, eventTypes(t, db, "config:queue:"+Downloads))
}

func TestPauseOutlivesWhatRiverForgets(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	require.True(t, pause(t, b, Default))
	exec(t, db, `DELETE FROM river_queue`) // as River does after a day without a consumer
	done := make(chan int64, 1)
	start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("thing", done)}})
	var paused bool
	require.NoError(t, db.QueryRow(t.Context(), `SELECT paused_at IS NOT NULL FROM river_queue WHERE name = $1`, riverName(Default)).Scan(&paused))
	require.True(t, paused)
	require.NoError(t, insert(t, db, b.client, Pointer{Kind: "thing", ID: 1, Queue: Default}))
	require.True(t, resume(t, b, Default))
	require.Equal(t, int64(1), await(t, done))
}

func TestUnknownQueueIsNamedWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	b := newBoard(t, db, nil)
	err := db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.Pause(ctx, tx, "llmctl-studio", 0)
		return err
	})
	require.True(t, errs.Is(err, errs.NotFound))
	require.ErrorContains(t, err, Downloads)
}

func TestDrainingProcessTakesNothingNewAndOthersDo(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	mine, others := make(chan int64, 8), make(chan int64, 8)
	c, _ := start(t, Options{DB: db, Queues: []string{Default}, Slots: 2, Handlers: []Handler{into("thing", mine)}})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "thing", ID: 1, Queue: Default}))
	require.Equal(t, int64(1), await(t, mine))
	c.SetDraining(true)
	_, stop := start(t, Options{DB: db, Queues: []string{Default}, Slots: 2, Handlers: []Handler{into("thing", others)}})
	for i := range int64(5) {
		require.NoError(t, insert(t, db, c, Pointer{Kind: "thing", ID: 10 + i, Queue: Default}))
		require.Equal(t, 10+i, await(t, others))
	}
	stop()
	require.Empty(t, mine)
	require.NoError(t, insert(t, db, c, Pointer{Kind: "thing", ID: 20, Queue: Default}))
	c.SetDraining(false)
	require.Equal(t, int64(20), await(t, mine))
}

func TestDrainReachesTheWorkerWithItsNextBeat(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "a", func() {})
	var told []bool
	r.o.Draining = func(draining bool) { told = append(told, draining) }
	r.o.Events = event.NewLog(nil, time.Now)
	_, err := r.Register(t.Context())
	require.NoError(t, err)
	b := newBoard(t, r.o.DB, nil)
	conn, err := r.beat(t.Context(), nil)
	require.NoError(t, err)
	drain := func(ctx context.Context, tx *postgres.Tx) (bool, error) { return b.Drain(ctx, tx, r.o.ID, 0) }
	require.True(t, steer(t, r.o.DB, drain))
	require.False(t, steer(t, r.o.DB, drain), "no change")
	conn, err = r.beat(t.Context(), conn)
	require.NoError(t, err)
	require.True(t, steer(t, r.o.DB, func(ctx context.Context, tx *postgres.Tx) (bool, error) { return b.Undrain(ctx, tx, r.o.ID) }))
	conn, err = r.beat(t.Context(), conn)
	require.NoError(t, err)
	require.Equal(t, []bool{false, true, false}, told)

	s := seen(t, b)
	require.Len(t, s.Workers, 1)
	w := s.Workers[0]
	require.Greater(t, *w.RSSBytes, int64(1<<20))
	require.Positive(t, *w.Goroutines)
	require.NotNil(t, w.CPUCores)

	require.NoError(t, r.retire(t.Context()))
	err = r.o.DB.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error { _, err := drain(ctx, tx); return err })
	require.True(t, errs.HasReason(err, "worker.ended"), "%v", err)
	err = r.o.DB.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := b.Drain(ctx, tx, uuid.New(), 0)
		return err
	})
	require.True(t, errs.HasReason(err, "worker.not_found"), "%v", err)
	require.Equal(t, []string{
		"config:worker:created joined", "config:worker:updated draining", "config:worker:updated resumed", "config:worker:deleted stopped",
	}, eventTypes(t, r.o.DB, workerStream))
	closeConn(context.Background(), conn)
}

func TestDeathIsAnnounced(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	id := addWorker(t, db, 1, "", Default)
	sweeper := NewSweeper(db, nil, nil, slog.New(slog.DiscardHandler))
	sweeper.Announce(event.NewLog(nil, time.Now))
	buried, err := sweeper.bury(t.Context(), []beat{{ID: id}})
	require.NoError(t, err)
	require.Equal(t, 1, buried)
	require.Equal(t, []string{"config:worker:deleted died"}, eventTypes(t, db, workerStream))
}
