package queue

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// gateway is a handler whose jobs run until they are let go.
type gateway struct {
	mu      sync.Mutex
	order   []int64
	running int
	most    int
	began   chan int64
	let     chan struct{}
	end     sync.Once
}

func newGateway() *gateway {
	return &gateway{began: make(chan int64, 10_000), let: make(chan struct{}, 10_000)}
}

func (g *gateway) handler(kind string) Handler {
	return Handler{Kind: kind, Work: func(ctx context.Context, id int64) {
		g.mu.Lock()
		g.order = append(g.order, id)
		g.running++
		g.most = max(g.most, g.running)
		g.mu.Unlock()
		g.began <- id
		select {
		case <-g.let:
		case <-ctx.Done():
		}
		g.mu.Lock()
		g.running--
		g.mu.Unlock()
	}, Drain: func(context.Context) { g.end.Do(func() { close(g.let) }) }}
}

// many are n pointers of a queue, ids from first on.
func many(kind, queue string, first int64, n int) []Pointer {
	out := make([]Pointer, n)
	for i := range out {
		out[i] = Pointer{Kind: kind, ID: first + int64(i), Queue: queue}
	}
	return out
}

func TestFloodOnOneQueueDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	const slots = 4
	g := newGateway()
	c, stop := start(t, Options{DB: db, Queues: Names(), Slots: slots, Handlers: []Handler{g.handler("flood")}})
	require.NoError(t, insert(t, db, c, many("flood", Default, 1, 1000)...))
	for range slots {
		await(t, g.began)
	}
	const single = 5000
	require.NoError(t, insert(t, db, c, Pointer{Kind: "flood", ID: single, Queue: RAGIndex}))
	for completions := 1; ; completions++ {
		require.LessOrEqual(t, completions, 10, "the single job did not begin")
		g.let <- struct{}{}
		if await(t, g.began) == single {
			break
		}
	}
	stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Equal(t, slots, g.most, "never more than the slots, all of them used")
	require.Equal(t, len(g.order), count(t, db, `SELECT count(*) FROM river_job WHERE state = 'completed'`))
	require.Zero(t, count(t, db, `SELECT count(*) FROM river_job WHERE state = 'running'`), "nothing was taken beyond the slots")
}

func TestSlotsAreOneLimitOverAllQueues(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	const slots = 3
	g := newGateway()
	close(g.let)
	h := g.handler("flood")
	h.Drain = nil
	c, stop := start(t, Options{DB: db, Queues: Names(), Slots: slots, Handlers: []Handler{h}})
	began := time.Now()
	for i, q := range Names() {
		require.NoError(t, insert(t, db, c, many("flood", q, int64(1000*i+1), 200)...))
	}
	for range 200 * len(Names()) {
		await(t, g.began)
	}
	require.Less(t, time.Since(began), 40*time.Second, "no fetch waited for its producer's next poll")
	stop()
	require.LessOrEqual(t, g.most, slots)
	slices.Sort(g.order)
	require.Len(t, slices.Compact(g.order), 200*len(Names()), "each once")
	require.Zero(t, c.Busy(), "no slot was lost")
}

func TestIdleWorkerTakesWhatABusyOneCannot(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	busy, idle := newGateway(), newGateway()
	c, _ := start(t, Options{DB: db, Queues: Names(), Slots: 2, Handlers: []Handler{busy.handler("some")}})
	require.NoError(t, insert(t, db, c, many("some", Default, 1, 2)...))
	await(t, busy.began)
	await(t, busy.began)
	close(idle.let)
	h := idle.handler("some")
	h.Drain = nil
	start(t, Options{DB: db, Queues: Names(), Slots: 2, Handlers: []Handler{h}})
	require.NoError(t, insert(t, db, c, many("some", Default, 100, 50)...))
	require.NoError(t, insert(t, db, c, many("some", RAGGit, 200, 10)...))
	for range 60 {
		await(t, idle.began)
	}
	require.Empty(t, busy.began)
}

func TestPausedQueueIsNotWorkedByAFetchThatWaitedForASlot(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	g := newGateway()
	c, _ := start(t, Options{DB: db, Queues: []string{Default, RAGGit}, Slots: 1, Handlers: []Handler{g.handler("some")}})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 1, Queue: Default}))
	require.Equal(t, int64(1), await(t, g.began))
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 2, Queue: RAGGit}))
	require.Eventually(t, func() bool { return c.Contended(Default) }, patience, time.Millisecond)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return c.river.QueuePauseTx(ctx, tx.Tx, riverName(RAGGit), nil)
	}))
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 3, Queue: Default}))
	g.let <- struct{}{}
	require.Equal(t, int64(3), await(t, g.began))
	g.let <- struct{}{}
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return c.river.QueueResumeTx(ctx, tx.Tx, riverName(RAGGit), nil)
	}))
	require.Equal(t, int64(2), await(t, g.began))
}

// TestJobThatIsCommittedLateIsStartedAtOnce has a job inserted right after another and
// committed long after it.
func TestJobThatIsCommittedLateIsStartedAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	seen := make(chan int64, 2)
	c, _ := start(t, Options{DB: db, Queues: []string{Default}, Slots: 4, Handlers: []Handler{into("some", seen)}})
	var took []time.Duration
	for i := range int64(3) {
		var committed time.Time
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, late *postgres.Tx) error {
			require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 2*i + 1, Queue: Default})) //nolint:contextcheck // another transaction
			require.NoError(t, c.Insert(ctx, late, []Pointer{{Kind: "some", ID: 2*i + 2, Queue: Default}}))
			require.Equal(t, 2*i+1, await(t, seen))
			late.AfterCommit(func() { committed = time.Now() })
			return nil
		}))
		require.Equal(t, 2*i+2, await(t, seen))
		took = append(took, time.Since(committed))
	}
	require.Less(t, slices.Min(took), 500*time.Millisecond, "a poll would take a second: %v", took)
}

func TestScheduledJobStartsInTimeWithoutALeader(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	// Somebody else leads, and does nothing.
	_, err := db.Exec(t.Context(), `INSERT INTO river_leader (leader_id, elected_at, expires_at) VALUES ('nobody', now(), now() + interval '1 hour')`)
	require.NoError(t, err)
	seen := make(chan int64, 1)
	c, _ := start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("some", seen)}})
	due := time.Now().Add(2 * time.Second)
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 1, Queue: Default, At: due}))
	await(t, seen)
	late := time.Since(due)
	require.GreaterOrEqual(t, late, time.Duration(0), "not before its time")
	require.Less(t, late, 3*time.Second)
}

func TestWorkerThatMayBeDeadForOthersTakesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	var fresh atomic.Bool
	stale, other := make(chan int64, 10), make(chan int64, 10)
	c, _ := start(t, Options{
		DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("some", stale)}, Fresh: fresh.Load,
	})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 1, Queue: Default}))
	start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{into("some", other)}})
	require.Equal(t, int64(1), await(t, other))
	require.Empty(t, stale)
	require.NoError(t, insert(t, db, c, many("some", Default, 10, 5)...))
	for range 5 {
		await(t, other)
	}
	require.Empty(t, stale)
}

func TestJobsOfDeadWorkersAreSettled(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	alive, dead := uuid.New(), uuid.New()
	for _, id := range []uuid.UUID{alive, dead} {
		_, err := db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
			VALUES ($1, $2, 'h', 1, 'v', 1, '{}', 2)`, id, id.String())
		require.NoError(t, err)
	}
	g := newGateway()
	c, _ := start(t, Options{DB: db, Queues: []string{Default}, Slots: 1, Handlers: []Handler{g.handler("some")}, Worker: alive})
	start(t, Options{DB: db, Queues: []string{RAGGit}, Slots: 1, Handlers: []Handler{g.handler("some")}, Worker: dead})
	require.NoError(t, insert(t, db, c, Pointer{Kind: "some", ID: 1, Queue: Default}, Pointer{Kind: "some", ID: 2, Queue: RAGGit}))
	await(t, g.began)
	await(t, g.began)
	s := NewSweeper(db, c, nil, slog.New(slog.DiscardHandler))
	n, err := s.settle(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = db.Exec(t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, dead)
	require.NoError(t, err)
	n, err = s.settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), n)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM river_job WHERE state = 'running' AND queue = $1`, riverName(Default)))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM river_job WHERE state = 'cancelled' AND queue = $1 AND errors[1]->>'error' LIKE 'the worker%'`, riverName(RAGGit)))
}
