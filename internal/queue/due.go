package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
)

const (
	// dueEvery is how late a job may come that was to wait.
	dueEvery = time.Second
	// dueAtOnce bounds one round; a full one is followed by another at once.
	dueAtOnce = 1000
)

// dueTimer lets jobs go whose time has come, retries after their pause for one. In
// River that is its leader's work; every worker does it here, so that it depends on
// no single process. Two at the same time do no harm.
type dueTimer struct {
	exec riverdriver.Executor
	log  *slog.Logger
}

func newDueTimer(pool *pgxpool.Pool, log *slog.Logger) *dueTimer {
	return &dueTimer{exec: riverpgxv5.New(pool).GetExecutor(), log: log}
}

// run works until ctx ends.
func (d *dueTimer) run(ctx context.Context) {
	ticker := time.NewTicker(dueEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for more := true; more && ctx.Err() == nil; {
			n, err := d.release(ctx)
			if err != nil && ctx.Err() == nil {
				d.log.WarnContext(ctx, "jobs whose time has come wait on", "error", err)
			}
			more = err == nil && n == dueAtOnce
		}
	}
}

// release lets go what is due, at most dueAtOnce jobs, and wakes their workers.
func (d *dueTimer) release(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	jobs, err := d.exec.JobSchedule(ctx, &riverdriver.JobScheduleParams{Max: dueAtOnce})
	if err != nil {
		return 0, fmt.Errorf("release due jobs: %w", err)
	}
	var queues []string
	for _, j := range jobs {
		if !slices.Contains(queues, j.Job.Queue) {
			queues = append(queues, j.Job.Queue)
		}
	}
	if len(queues) == 0 {
		return 0, nil
	}
	return len(jobs), notifyInserted(ctx, d.exec, queues)
}
