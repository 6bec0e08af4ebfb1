package queue

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestObserverBuriesOnlyWhatStandsStillUnderItsOwnEyes(t *testing.T) {
	t.Parallel()
	still, moving := uuid.New(), uuid.New()
	o := observer{seen: map[uuid.UUID]sighting{}}
	now := time.Unix(1_000_000, 0)
	look := func(after time.Duration, count int64) []beat {
		now = now.Add(after)
		return o.observe(now, []beat{{still, 7}, {moving, count}})
	}
	for i := range 5 {
		require.Empty(t, look(sweepEvery, int64(i)))
	}
	require.Equal(t, []beat{{still, 7}}, look(sweepEvery, 5), "10 s of uninterrupted polls")
	// A pause of the observer (a sleeping machine, an outage) proves nothing.
	require.Empty(t, look(time.Hour, 5))
	require.Empty(t, look(sweepEvery, 5))
}

func newRegistry(t *testing.T, owner string, dead func()) *Registry {
	t.Helper()
	return NewRegistry(RegistryOptions{
		DB: pgtest.DB(t), Logger: slog.New(slog.DiscardHandler), ID: uuid.New(), Owner: owner, Host: "h", Version: "v",
		Slots: 1, Queues: []string{Default}, Now: time.Now, Orders: func([]Held) {}, Dead: dead,
	})
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

	sweeper := NewSweeper(r.o.DB, nil, nil, slog.New(slog.DiscardHandler), time.Now)
	begin := time.Now()
	for i := range 6 {
		sweeper.now = func() time.Time { return begin.Add(time.Duration(i) * sweepEvery) }
		require.NoError(t, sweeper.bury(t.Context()))
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
