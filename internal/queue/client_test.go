package queue

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// start runs a client until the test ends, or until the returned function is called.
func start(t *testing.T, o Options) (*Client, func()) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	c, err := NewClient(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- c.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-done:
		require.NoError(t, err)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return c, stop
}

// into is a handler that tells of each job.
func into(kind string, seen chan<- int64) Handler {
	return Handler{Kind: kind, Work: func(_ context.Context, id int64) { seen <- id }}
}

func insert(t *testing.T, db *postgres.DB, c *Client, pointers ...Pointer) error {
	t.Helper()
	return db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error { return c.Insert(ctx, tx, pointers) })
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

func TestEachKindGoesToItsHandler(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	a, b := make(chan int64, 1), make(chan int64, 1)
	c, _ := start(t, Options{DB: db, Queues: []string{Default, Downloads}, Slots: 2, Handlers: []Handler{into("this", a), into("that", b)}})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "this", ID: 7, Queue: Default}, Pointer{Kind: "that", ID: 8, Queue: Downloads}))
	require.Equal(t, int64(7), await(t, a))
	require.Equal(t, int64(8), await(t, b))
}

func TestJobOfAnUnknownKindIsLeftToOthers(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	a, b := make(chan int64, 1), make(chan int64, 1)
	c, _ := start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("this", a)}})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "that", ID: 1, Queue: Default}, Pointer{Kind: "this", ID: 2, Queue: Default}))
	require.Equal(t, int64(2), await(t, a))
	start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("that", b)}})
	require.Equal(t, int64(1), await(t, b))
}

func TestJobsOfARolledBackTransactionDoNotExist(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	c, err := NewClient(Options{DB: db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	err = db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		require.NoError(t, c.Insert(ctx, tx, []Pointer{{Kind: "this", ID: 1, Queue: Default}}))
		return context.Canceled
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, count(t, db, `SELECT count(*) FROM river_job`))
}

func TestPointersThatNobodyCouldWorkAreRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	c, err := NewClient(Options{DB: db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	for want, p := range map[string]Pointer{
		"needs the kind":           {ID: 1, Queue: Default},
		"points at the id 0":       {Kind: "this", Queue: Default},
		`There is no queue "mail"`: {Kind: "this", ID: 1, Queue: "mail"},
	} {
		require.ErrorContains(t, insert(t, db, c, Pointer{Kind: "this", ID: 1, Queue: Default}, p), want)
	}
	require.Zero(t, count(t, db, `SELECT count(*) FROM river_job`), "all or none")
}

func TestHandlersMustBeOneForEachKind(t *testing.T) {
	t.Parallel()
	for _, handlers := range [][]Handler{
		{into("this", nil), into("this", nil)}, {into("", nil)}, {{Kind: "this"}},
	} {
		_, err := NewClient(Options{DB: &postgres.DB{}, Logger: slog.New(slog.DiscardHandler), Queues: []string{Default}, Handlers: handlers})
		require.ErrorContains(t, err, "the handler of kind")
	}
}

func TestArgumentsOfAnyShapeAreRead(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]int64{
		`{"id":5}`: 5, `{"node_run_id":6}`: 6, `{"id":"x"}`: 0, `[]`: 0, `null`: 0, `{"id":1.5}`: 0,
	} {
		var a args
		require.NoError(t, a.UnmarshalJSON([]byte(raw)))
		require.Equal(t, want, a.id, raw)
	}
}

func count(t *testing.T, db *postgres.DB, sql string, with ...any) int {
	t.Helper()
	var n int
	require.NoError(t, db.QueryRow(t.Context(), sql, with...).Scan(&n))
	return n
}

// rows is a domain of the test's: what is due, and what was asked of it.
type rows struct {
	due       []Pointer
	recovered int
	err       error
}

func (r *rows) Recover(context.Context) (int, error)   { r.recovered++; return 0, r.err }
func (r *rows) Due(context.Context) ([]Pointer, error) { return r.due, nil }

func TestSweepReplacesLostJobsOfEveryDomain(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	quiet := slog.New(slog.DiscardHandler)
	c, err := NewClient(Options{DB: db, Logger: quiet})
	require.NoError(t, err)
	has, lacks := Pointer{Kind: "this", ID: 1, Queue: Default}, Pointer{Kind: "this", ID: 2, Queue: RAGGit}
	require.NoError(t, insert(t, db, c, has, Pointer{Kind: "that", ID: 2, Queue: Default}))
	failing := &rows{err: context.Canceled}
	other := &rows{due: []Pointer{has, {Kind: "this", ID: 3, Queue: "no such queue"}, lacks}}
	s := NewSweeper(db, c, []Domain{failing, other}, quiet)
	for range 2 { // the second finds nothing to do
		require.ErrorIs(t, s.Sweep(t.Context()), context.Canceled, "what fails is told")
		require.Equal(t, 2, count(t, db, `SELECT count(*) FROM river_job WHERE kind = 'this'`))
		require.Equal(t, 1, count(t, db, `SELECT count(*) FROM river_job WHERE kind = 'this' AND args @> '{"id": 2}' AND queue = $1`, riverName(RAGGit)))
	}
	require.Equal(t, 2, other.recovered, "one that fails does not keep back the others")
}
