package app

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// lateJobs breaks the circle between the engine, which inserts jobs, and the
// queue, whose jobs the engine's runner works.
type lateJobs struct{ to run.Jobs }

// InsertNodes implements run.Jobs.
func (l *lateJobs) InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []run.Job) error {
	return l.to.InsertNodes(ctx, tx, jobs)
}

// cancelSignals sends cancel orders over the bus.
type cancelSignals struct{ bus bus.Bus }

// SignalCancel implements run.Signaller.
func (c cancelSignals) SignalCancel(nodeRunIDs []int64) {
	for _, id := range nodeRunIDs {
		c.bus.Signal(cancelTopic, strconv.FormatInt(id, 10))
	}
}

func cancelKey(key string) int64 {
	id, _ := strconv.ParseInt(key, 10, 64) // 0 names no node run
	return id
}

// cleaner removes expired sessions, idempotency keys and log-in counts, and blobs
// that nobody came to refer to.
type cleaner struct {
	auth *auth.Service
	db   *postgres.DB
	log  *slog.Logger
}

// orphanAge is how long a blob may wait for the transaction that refers to it;
// that comes within seconds as a rule.
const orphanAge = 6 * time.Hour

// Name names the service.
func (c *cleaner) Name() string { return "cleaner" }

// Run cleans every ten minutes until ctx ends.
func (c *cleaner) Run(ctx context.Context, ready func()) error {
	ready()
	ticker := time.NewTicker(10 * time.Minute)
	defer ticker.Stop()
	for {
		if err := c.auth.Clean(ctx); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "could not remove what has expired", "error", err)
		}
		if _, err := blob.Collect(ctx, c.db, orphanAge); err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "could not remove blobs without a reference", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}
