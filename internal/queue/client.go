package queue

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// nodeArgs points at a node run.
type nodeArgs struct {
	NodeRunID int64 `json:"node_run_id"`
}

// Kind is River's name of the job.
func (nodeArgs) Kind() string { return "node" }

// Options wire a Client.
type Options struct {
	DB     *postgres.DB
	Logger *slog.Logger
	// Queues that this process works, by public name; empty: it only inserts.
	Queues []string
	Slots  int // node runs at a time, over all queues
	// Work is called for each job. It returns when the work is done or handed to
	// somebody else; its context ends when the client is stopped hard.
	Work func(ctx context.Context, nodeRunID int64)
	// Drain is called when the client stops taking jobs; it returns when what runs
	// has ended, or has been handed over because its context ended.
	Drain func(ctx context.Context)
}

// Client inserts jobs and, if it has queues, works them.
type Client struct {
	river *river.Client[pgx.Tx]
	o     Options
	slots chan struct{} // one process-wide limit, whatever the number of queues
}

// NewClient makes a client; Run starts the working side.
func NewClient(o Options) (*Client, error) {
	c := &Client{o: o, slots: make(chan struct{}, max(o.Slots, 1))}
	cfg := &river.Config{
		Logger: o.Logger,
		// Waiting for a wake-up must not cost more than the wake-up itself; this
		// also throttles how often an inserting client notifies.
		FetchCooldown:     river.FetchCooldownMin,
		FetchPollInterval: time.Second,
		// Deadlines, retries and rescue belong to the domain.
		JobTimeout:  -1,
		MaxAttempts: 1,
		// A job that is unknown here may be known elsewhere.
		FetchOnlyKnownKinds:         true,
		CompletedJobRetentionPeriod: time.Hour,
	}
	if len(o.Queues) > 0 {
		workers := river.NewWorkers()
		if err := river.AddWorkerSafely(workers, &nodeWorker{c: c}); err != nil {
			return nil, fmt.Errorf("register node worker: %w", err)
		}
		cfg.Workers = workers
		cfg.Queues = map[string]river.QueueConfig{}
		for _, q := range o.Queues {
			cfg.Queues[riverName(q)] = river.QueueConfig{MaxWorkers: max(o.Slots, 1)}
		}
	}
	var err error
	if c.river, err = river.NewClient(riverpgxv5.New(o.DB.Pool), cfg); err != nil {
		return nil, fmt.Errorf("make queue client: %w", err)
	}
	return c, nil
}

// InsertNodes enqueues jobs as part of a transaction. Implements run.Jobs.
func (c *Client) InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []run.Job) error {
	params := make([]river.InsertManyParams, len(jobs))
	for i, j := range jobs {
		params[i] = river.InsertManyParams{
			Args:       nodeArgs{NodeRunID: j.NodeRunID},
			InsertOpts: &river.InsertOpts{Queue: riverName(j.Queue), ScheduledAt: j.At},
		}
	}
	if _, err := c.river.InsertManyFastTx(ctx, tx.Tx, params); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	return nil
}

// Name names the service.
func (c *Client) Name() string { return "queue" }

// Run works jobs until ctx ends; then it takes no more and gives those that run
// drain to end by themselves before it stops them.
func (c *Client) Run(ctx context.Context, ready func()) error {
	if len(c.o.Queues) == 0 {
		ready()
		<-ctx.Done()
		return nil
	}
	// River stops when its start context ends; the drain below wants to decide that.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := c.river.Start(work); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	ready()
	<-ctx.Done()
	soft, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if c.o.Drain != nil {
		go c.o.Drain(soft) // ends with soft at the latest
	}
	hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), 2*drain)
	defer cancelHard()
	if err := c.river.Stop(hard); err != nil {
		return fmt.Errorf("stop queue: %w", err)
	}
	return nil
}

// drain is how long jobs may take to end by themselves. Node runs that need
// longer are handed over: the runner ends their attempts as lost.
const drain = 8 * time.Second

type nodeWorker struct {
	river.WorkerDefaults[nodeArgs]
	c *Client
}

// Work takes one of the process's slots before it claims. Whatever happens to
// the node run is the engine's to record, so the job itself always succeeds.
func (w *nodeWorker) Work(ctx context.Context, job *river.Job[nodeArgs]) error {
	select {
	case w.c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-w.c.slots }()
	w.c.o.Work(ctx, job.Args.NodeRunID)
	return nil
}

// reinsertSQL finds node runs that are due but have no job that is going to
// happen (it was lost with a dead worker, or its row was claimed and requeued).
const reinsertSQL = `
SELECT n.id, n.queue FROM node_run n
WHERE n.finished_at IS NULL AND n.status = 'queued' AND n.run_after < now() - interval '5 seconds'
  AND NOT EXISTS (SELECT 1 FROM river_job j
                  WHERE j.kind = 'node' AND j.state IN ('available', 'scheduled', 'retryable')
                    AND j.args @> jsonb_build_object('node_run_id', n.id))
ORDER BY n.run_after LIMIT 200`

// Reinsert gives due node runs without a job a new one; it returns how many. A
// doubled job is harmless, a missing one is not.
func (c *Client) Reinsert(ctx context.Context) (int, error) {
	n := 0
	err := c.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		rows, err := tx.Query(ctx, reinsertSQL)
		if err != nil {
			return fmt.Errorf("find node runs without a job: %w", err)
		}
		jobs, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (run.Job, error) {
			var j run.Job
			err := row.Scan(&j.NodeRunID, &j.Queue)
			return j, err
		})
		if err != nil {
			return fmt.Errorf("find node runs without a job: %w", err)
		}
		if n = len(jobs); n == 0 {
			return nil
		}
		return c.InsertNodes(ctx, tx, jobs)
	})
	return n, err
}
