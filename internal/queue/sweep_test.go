package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// shift moves what the watch remembers into the past.
func shift(t *testing.T, db *postgres.DB, by time.Duration) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE worker_process SET watched_since = watched_since - make_interval(secs => $1)`,
		`UPDATE liveness_watch SET unbroken_since = unbroken_since - make_interval(secs => $1), polled_at = polled_at - make_interval(secs => $1),
			sweeper_until = sweeper_until - make_interval(secs => $1)`,
	} {
		_, err := db.Exec(t.Context(), sql, by.Seconds())
		require.NoError(t, err)
	}
}

func TestTheWatchOfAllProcessesTogetherFindsTheDead(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "still", func() {})
	_, err := r.Register(t.Context())
	require.NoError(t, err)
	moving := NewRegistry(r.o)
	moving.o.ID, moving.o.Owner = uuid.New(), "moving"
	_, err = moving.Register(t.Context())
	require.NoError(t, err)
	var conn *pgx.Conn
	look := func(after time.Duration) []beat {
		shift(t, r.o.DB, after)
		conn, err = moving.beat(t.Context(), conn)
		require.NoError(t, err)
		// Each look is another process's: what one saw counts for the next.
		dead, _, err := (&watch{db: r.o.DB, me: uuid.New()}).look(t.Context())
		require.NoError(t, err)
		return dead
	}
	for range 5 {
		require.Empty(t, look(sweepEvery))
	}
	require.Equal(t, []beat{{ID: r.o.ID}}, look(sweepEvery), "10 s of an unbroken watch")
	// A pause (a sleeping machine, an outage of the database) proves nothing.
	require.Empty(t, look(time.Hour))
	require.Empty(t, look(sweepEvery))
	closeConn(context.WithoutCancel(t.Context()), conn)
}

// slow recovers until it is told to stop.
type slow struct{ entered, over chan struct{} }

func (s slow) Recover(ctx context.Context) (int, error) {
	select {
	case s.entered <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	<-s.over
	return 0, nil
}

func (slow) Due(context.Context) ([]Pointer, error) { return nil, nil }

func TestALongRecoveryDoesNotBreakTheWatch(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "still", func() {})
	_, err := r.Register(t.Context())
	require.NoError(t, err)
	domain := slow{entered: make(chan struct{}), over: make(chan struct{})}
	s := NewSweeper(r.o.DB, nil, []Domain{domain}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, func() {}) }()
	shift(t, r.o.DB, turn+time.Second)
	<-domain.entered
	require.Eventually(t, func() bool {
		shift(t, r.o.DB, lookEvery)
		var dead bool
		require.NoError(t, r.o.DB.QueryRow(t.Context(), `SELECT tombstone_at IS NOT NULL FROM worker_process WHERE id = $1`, r.o.ID).Scan(&dead))
		return dead
	}, 30*time.Second, 300*time.Millisecond)
	cancel()
	close(domain.over)
	require.NoError(t, <-ended)
}

func TestOneSweepsForAllAndLosesItsTurnWhenItIsAway(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	first, second := &watch{db: db, me: uuid.New()}, &watch{db: db, me: uuid.New()}
	mine := func(w *watch) bool {
		_, mine, err := w.look(t.Context())
		require.NoError(t, err)
		return mine
	}
	shift(t, db, time.Second)
	require.True(t, mine(first))
	require.False(t, mine(second))
	require.True(t, mine(first), "as long as it comes")
	shift(t, db, turn+time.Second)
	require.True(t, mine(second))
	require.False(t, mine(first))
}

func newRegistry(t *testing.T, owner string, dead func()) *Registry {
	t.Helper()
	return NewRegistry(RegistryOptions{
		DB: pgtest.DB(t), Logger: slog.New(slog.DiscardHandler), ID: uuid.New(), Owner: owner, Host: "h", Version: "v",
		Slots: 1, Queues: []string{Default}, Now: time.Now, Orders: func([]Held) {}, Dead: dead,
	})
}

func TestManyThatWaitInLineDoNotKeepTheSweepFromWhatIsLost(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	const many = 20_000
	exec(t, db, `INSERT INTO node_run (flowchart_node_id, kind, status, timeout_seconds, execution_index, run_after)
		SELECT 'a', 'script', 'queued', 60, 1, now() - interval '1 minute' FROM generate_series(1, $1)`, many)
	exec(t, db, `INSERT INTO river_job (kind, args, queue, state, max_attempts, finalized_at)
		SELECT 'node', jsonb_build_object('id', n.id), $1, s::river_job_state, 1, CASE s WHEN 'completed' THEN now() END
		FROM node_run n, unnest(ARRAY['available', 'completed']) s WHERE n.id <> 7 OR s = 'completed'`, riverName(Default))
	exec(t, db, `UPDATE river_job SET args = '{"node_run_id": 9}' WHERE args @> '{"id": 9}' AND state = 'available'`)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	nodes := NewNodes(db, nil)
	due, err := nodes.Due(ctx)
	require.NoError(t, err)
	require.Equal(t, []Pointer{{Kind: KindNode, ID: 7, Queue: Default}}, due)
	s := NewSweeper(db, newBoard(t, db, nil).client, nil, slog.New(slog.DiscardHandler))
	n, err := s.replaceLost(ctx, nodes)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	due, err = nodes.Due(ctx)
	require.NoError(t, err)
	require.Empty(t, due)
}

// stuck is a domain that takes all the time it gets.
type stuck struct{}

func (stuck) Recover(ctx context.Context) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (stuck) Due(ctx context.Context) ([]Pointer, error) { return nil, ctx.Err() }

// asked is a domain that notes whether it had time.
type asked struct{ recover, due error }

func (a *asked) Recover(ctx context.Context) (int, error) {
	a.recover = ctx.Err()
	return 0, nil
}

func (a *asked) Due(ctx context.Context) ([]Pointer, error) {
	a.due = ctx.Err()
	return nil, nil
}

func TestSlowDomainDoesNotKeepBackTheOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	a := &asked{recover: context.Canceled, due: context.Canceled}
	s := NewSweeper(db, newBoard(t, db, nil).client, []Domain{stuck{}, a}, slog.New(slog.DiscardHandler))
	s.limit = 50 * time.Millisecond
	require.ErrorIs(t, s.Sweep(t.Context()), context.DeadlineExceeded)
	require.Equal(t, &asked{}, a)
}

func TestTombstonedWorkerTakesNoMoreWork(t *testing.T) {
	t.Parallel()
	died := 0
	r := newRegistry(t, "a", func() { died++ })
	require.False(t, r.Fresh(), "before it has registered")
	_, err := r.Register(t.Context())
	require.NoError(t, err)
	conn, err := r.beat(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, r.Fresh())

	sweeper := NewSweeper(r.o.DB, nil, nil, slog.New(slog.DiscardHandler))
	require.NoError(t, sweeper.Sweep(t.Context()))
	for range 5 {
		shift(t, r.o.DB, sweepEvery)
		require.NoError(t, sweeper.Sweep(t.Context()))
	}
	for range 2 {
		conn, err = r.beat(t.Context(), conn)
		require.NoError(t, err)
	}
	require.False(t, r.Fresh())
	require.Equal(t, 1, died, "told once")
	closeConn(context.Background(), conn)
}

func TestSuccessorTombstonesTheWorkersOfItsOwner(t *testing.T) {
	t.Parallel()
	r := newRegistry(t, "same", func() {})
	left, err := r.Register(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	next := NewRegistry(r.o)
	next.o.ID = uuid.New()
	left, err = next.Register(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), left)
	other := NewRegistry(r.o)
	other.o.ID, other.o.Owner = uuid.New(), "other"
	left, err = other.Register(t.Context())
	require.NoError(t, err)
	require.Zero(t, left, "of another owner")
}

func TestQueueNamesMapOneToOne(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range Names() {
		require.NotContains(t, riverName(name), ".")
		require.False(t, seen[riverName(name)])
		seen[riverName(name)] = true
	}
}

func TestAttemptsInPodsWithoutAHolderGetAJob(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	exec(t, db, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, stopped_at, tombstone_at)
		SELECT gen_random_uuid(), 't', w, 1, 'v', 1, '{}', CASE w WHEN 'stopped' THEN now() END, CASE w WHEN 'dead' THEN now() END
		FROM unnest(ARRAY['lives', 'stopped', 'dead']) w`)
	exec(t, db, `INSERT INTO node_run (flowchart_node_id, kind, status, attempt, timeout_seconds, execution_index)
		SELECT 'a', 'script', 'running', 1, 60, 1 FROM generate_series(1, 6)`)
	exec(t, db, `INSERT INTO node_attempt (node_run_id, number, worker_process_id, status, executor, queued_at, deadline_at, let_go_at)
		SELECT n, 1, (SELECT id FROM worker_process WHERE hostname = w), 'running', e, now(), now(), CASE WHEN n = 4 THEN now() END
		FROM unnest(ARRAY[1, 2, 3, 4, 5, 6], ARRAY['lives', 'stopped', 'dead', 'lives', 'dead', 'dead'],
			ARRAY['kubernetes', 'kubernetes', 'kubernetes', 'kubernetes', 'process', 'kubernetes']) t (n, w, e)`)
	exec(t, db, `UPDATE node_attempt SET status = 'failed', finished_at = now() WHERE node_run_id = 6`)
	nodes := NewNodes(db, nil)
	due, err := nodes.Due(t.Context())
	require.NoError(t, err)
	ids := make([]int64, len(due))
	for i, p := range due {
		ids[i] = p.ID
	}
	require.ElementsMatch(t, []int64{2, 3, 4}, ids, "stopped, dead, and let go")
	_, err = NewSweeper(db, newBoard(t, db, nil).client, nil, slog.New(slog.DiscardHandler)).replaceLost(t.Context(), nodes)
	require.NoError(t, err)
	due, err = nodes.Due(t.Context())
	require.NoError(t, err)
	require.Empty(t, due)
}
