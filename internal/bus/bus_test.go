package bus_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) {
	// A test server of this process's own ends with the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/llmctl/studio/internal/postgres/embedded.startBound.func1"))
}

func TestMemory(t *testing.T) {
	t.Parallel()
	bustest.Run(t, bustest.Driver{Cluster: func(_ *testing.T, n int) []bus.Bus {
		b := bus.NewMemory()
		out := make([]bus.Bus, n)
		for i := range out {
			out[i] = b
		}
		return out
	}})
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	bustest.Run(t, bustest.Driver{MaxEnvelope: 7 << 10, Cluster: func(t *testing.T, n int) []bus.Bus {
		t.Helper()
		db := pgtest.DB(t)
		out := make([]bus.Bus, n)
		for i := range out {
			out[i] = bus.NewPostgres(db, bus.PostgresOptions{})
		}
		return out
	}})
}

func TestPostgresHealsALostSubscription(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	a, b := bus.NewPostgres(db, bus.PostgresOptions{}), bus.NewPostgres(db, bus.PostgresOptions{})
	bustest.Start(t, a)
	bustest.Start(t, b)
	missed, hints := make(chan bus.Hint, 100), make(chan bus.Hint, 100)
	t.Cleanup(b.Subscribe(func(h bus.Hint) {
		if h.Stream == "" {
			missed <- h
		} else {
			hints <- h
		}
	}))
	tag, err := db.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND query LIKE 'LISTEN%'`)
	require.NoError(t, err)
	require.Equal(t, int64(2), tag.RowsAffected())
	bustest.Receive(t, missed) // told that something may have been missed
	a.Publish([]event.Stored{bustest.Event("a:1", 1, `{}`)})
	require.Equal(t, int64(1), bustest.Receive(t, hints).Sequence)
	require.Equal(t, int64(1), b.Health().Reconnects)
}

// deafConn can stop hearing without being closed, like one behind a firewall that
// forgot it.
type deafConn struct {
	net.Conn
	deaf *atomic.Bool
}

func (c *deafConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		if err != nil || !c.deaf.Load() {
			return n, err
		}
	}
}

func TestPostgresNoticesThatItIsDeaf(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	cfg := db.Pool.Config().Copy()
	generation := &atomic.Pointer[atomic.Bool]{} // of connections
	generation.Store(&atomic.Bool{})
	cfg.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &deafConn{Conn: conn, deaf: generation.Load()}, nil
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := bus.NewPostgres(&postgres.DB{Pool: pool}, bus.PostgresOptions{
		CanaryEvery: 20 * time.Millisecond, CanaryPatience: 400 * time.Millisecond,
		SendTimeout: 300 * time.Millisecond, Backoff: 10 * time.Millisecond,
	})
	bustest.Start(t, b)
	require.Eventually(t, func() bool { return !b.Health().LastHeard.IsZero() }, bustest.Patience, 5*time.Millisecond)

	old := generation.Load()
	generation.Store(&atomic.Bool{})
	old.Store(true) // all connections up to here
	require.Eventually(t, func() bool { return !b.Health().OK }, bustest.Patience, time.Millisecond)
	require.Eventually(t, func() bool { return b.Health().OK && b.Health().Reconnects > 0 }, bustest.Patience, 5*time.Millisecond)
}
