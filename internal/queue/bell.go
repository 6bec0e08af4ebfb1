package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

// insertTopic is what River's producers listen to.
const insertTopic = "river_insert"

// bell wakes the workers of queues that got jobs, after the commit.
//
// River itself does it inside the transaction, at most once in a while: then a job
// that was inserted just after another, but committed later, has no wake-up of its
// own and waits for the next poll. And transactions that notify commit one after
// the other, each waiting for the disk alone.
//
// Only one wake-up is under way at a time; those that come meanwhile share the
// next. A lost one costs a poll of the workers, a second.
type bell struct {
	exec riverdriver.Executor
	log  *slog.Logger

	mu      sync.Mutex
	pending []string // River's names
	ringing bool
}

// ringTimeout bounds how long whoever has committed may be held up.
const ringTimeout = 2 * time.Second

func newBell(pool *pgxpool.Pool, log *slog.Logger) *bell {
	return &bell{exec: riverpgxv5.New(pool).GetExecutor(), log: log}
}

// ring wakes the workers of the queues. It returns at once when somebody else is at
// it, who does it then.
func (b *bell) ring(ctx context.Context, queues []string) {
	b.mu.Lock()
	for _, q := range queues {
		if !slices.Contains(b.pending, q) {
			b.pending = append(b.pending, q)
		}
	}
	if b.ringing {
		b.mu.Unlock()
		return
	}
	b.ringing = true
	for len(b.pending) > 0 {
		now := b.pending
		b.pending = nil
		b.mu.Unlock()
		b.notify(ctx, now)
		b.mu.Lock()
	}
	b.ringing = false
	b.mu.Unlock()
}

func (b *bell) notify(ctx context.Context, queues []string) {
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	if err := notifyInserted(ctx, b.exec, queues); err != nil {
		b.log.DebugContext(ctx, "workers will find new jobs by themselves", "error", err)
	}
}

func notifyInserted(ctx context.Context, exec riverdriver.Executor, queues []string) error {
	payloads := make([]string, len(queues))
	for i, q := range queues {
		payloads[i] = fmt.Sprintf(`{"queue": %q}`, q)
	}
	if err := exec.NotifyMany(ctx, &riverdriver.NotifyManyParams{Topic: insertTopic, Payload: payloads}); err != nil {
		return fmt.Errorf("wake workers: %w", err)
	}
	return nil
}

// inserting is River's driver for those who insert: the bell wakes the workers.
type inserting struct{ *riverpgxv5.Driver }

// UnwrapExecutor implements riverdriver.Driver.
func (d inserting) UnwrapExecutor(tx pgx.Tx) riverdriver.ExecutorTx {
	return quiet{d.Driver.UnwrapExecutor(tx)}
}

type quiet struct{ riverdriver.ExecutorTx }

// NotifyMany implements riverdriver.Executor.
func (q quiet) NotifyMany(ctx context.Context, params *riverdriver.NotifyManyParams) error {
	if params.Topic == insertTopic {
		return nil
	}
	return q.ExecutorTx.NotifyMany(ctx, params)
}
