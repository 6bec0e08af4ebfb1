package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// River has a producer for each queue, with a limit of its own, and none over all
// of them. driver puts the process's slots before the statement with which every
// producer takes jobs: the statement asks for no more than was granted, and it
// waits while nothing is. Everything else is River's own driver.
//
// River says of its drivers' interfaces that they are not stable. What is used of them
// here is little, the compiler checks it, and the tests of this package see what an
// upgrade changes.
type driver struct {
	*riverpgxv5.Driver
	f *fetching
}

// fetching is what the executor of a driver knows of this process.
type fetching struct {
	slots  *slots
	turns  *slots            // of Chat; nil: this process takes no turns
	public map[string]string // River's names of the queues to the public ones
	// fresh reports whether this process may take jobs.
	fresh func() bool
	// listener brings the producers news of this process.
	listener *wakeable
}

func newDriver(pool *pgxpool.Pool, f *fetching) *driver {
	inner := riverpgxv5.New(pool)
	f.listener = &wakeable{Listener: inner.GetListener(&riverdriver.GetListenenerParams{})}
	return &driver{Driver: inner, f: f}
}

// GetListener implements riverdriver.Driver.
func (d *driver) GetListener(*riverdriver.GetListenenerParams) riverdriver.Listener {
	return d.f.listener
}

// GetExecutor implements riverdriver.Driver.
func (d *driver) GetExecutor() riverdriver.Executor {
	return &fetcher{Executor: d.Driver.GetExecutor(), f: d.f}
}

// of gives the slots of a queue.
func (f *fetching) of(queue string) *slots {
	if queue == Chat && f.turns != nil {
		return f.turns
	}
	return f.slots
}

// fetcher takes jobs for as many slots as it was granted.
type fetcher struct {
	riverdriver.Executor
	f *fetching
}

// staleAfter is how long a fetch may have waited for a slot without asking anew
// whether its queue was paused meanwhile: its producer cannot hear of it.
const staleAfter = 20 * time.Millisecond

// JobGetAvailable implements riverdriver.Executor.
func (f *fetcher) JobGetAvailable(ctx context.Context, params *riverdriver.JobGetAvailableParams) (*riverdriver.JobGetAvailableResult, error) {
	nothing := &riverdriver.JobGetAvailableResult{}
	if !f.f.fresh() {
		return nothing, nil // who may be dead for others leaves the jobs to them
	}
	queue := f.f.public[params.Queue]
	slots := f.f.of(queue)
	n, waited := slots.reserve(queue, params.MaxToLock)
	if n == 0 {
		return nothing, nil
	}
	var ids []int64
	defer func() { slots.settle(queue, n, ids) }()
	if ctx.Err() != nil { // a fetch may not wait as long as a slot does: the next one takes it
		f.f.listener.wake(params.Queue)
		return nothing, nil
	}
	if waited > staleAfter {
		if on, err := f.mayGoOn(ctx, params); err != nil || !on {
			return nothing, err
		}
	}
	fewer := *params
	fewer.MaxToLock = n
	res, err := f.Executor.JobGetAvailable(ctx, &fewer)
	if err != nil || res == nil {
		return res, err
	}
	for _, job := range res.Jobs {
		// One that cannot be read is given up without being worked.
		if res.DecodeErrors[job.ID] == nil {
			ids = append(ids, job.ID)
		}
	}
	if len(res.Jobs) == n && n < params.MaxToLock {
		f.f.listener.wake(params.Queue)
	}
	return res, nil
}

func (f *fetcher) mayGoOn(ctx context.Context, params *riverdriver.JobGetAvailableParams) (bool, error) {
	if !f.f.fresh() {
		return false, nil
	}
	q, err := f.QueueGet(ctx, &riverdriver.QueueGetParams{Name: params.Queue, Schema: params.Schema})
	if err != nil {
		return false, fmt.Errorf("see whether queue %q is paused: %w", params.Queue, err)
	}
	return q.PausedAt == nil, nil
}

// JobSetStateIfRunningMany implements riverdriver.Executor. Every job comes by here
// at its end, also one that never reached its handler; its slot is freed before it
// can be fetched again.
func (f *fetcher) JobSetStateIfRunningMany(ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	for _, id := range params.ID {
		f.f.slots.release(id)
		if f.f.turns != nil {
			f.f.turns.release(id)
		}
	}
	return f.Executor.JobSetStateIfRunningMany(ctx, params)
}
