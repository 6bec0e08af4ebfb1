package queue

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river/riverdriver"
)

// gate stands between River's producers and the database: while it is shut they find
// nothing to do. River can hold back a queue for all processes, but not one process
// for all queues; stopping its producers would have to wait for what they run.
type gate struct {
	riverdriver.Driver[pgx.Tx]
	shut *atomic.Bool
}

// GetExecutor gives the executor that producers fetch with.
func (g gate) GetExecutor() riverdriver.Executor {
	return gatedExecutor{g.Driver.GetExecutor(), g.shut}
}

type gatedExecutor struct {
	riverdriver.Executor
	shut *atomic.Bool
}

// JobGetAvailable takes jobs unless the gate is shut.
func (e gatedExecutor) JobGetAvailable(ctx context.Context, p *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	if e.shut.Load() {
		return &riverdriver.JobGetAvailableResult{}, nil
	}
	return e.Executor.JobGetAvailable(ctx, p)
}

// SetDraining shuts or opens this process for new jobs. What runs goes on; jobs that
// were fetched already are worked as well.
func (c *Client) SetDraining(draining bool) { c.draining.Store(draining) }

// Draining tells whether this process takes no new jobs.
func (c *Client) Draining() bool { return c.draining.Load() }
