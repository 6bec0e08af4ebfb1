package queue

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/llmctl/studio/internal/postgres"
)

// Handler works the jobs of one kind.
type Handler struct {
	Kind string
	// Work is called for each job with the id of the row that it points at. It returns
	// when the work is done or handed to somebody else; its context ends when the
	// client is stopped hard. It may be called for a row that is gone, has ended or
	// is worked by somebody else, and does nothing then.
	Work func(ctx context.Context, id int64)
	// Drain is called when the client stops taking jobs; it returns when what runs
	// has ended, or has been handed over because its context ended. nil: what runs
	// is short.
	Drain func(ctx context.Context)
}

// Options wire a Client.
type Options struct {
	DB     *postgres.DB
	Logger *slog.Logger
	// Queues that this process works, by public name; empty: it only inserts.
	Queues []string
	Slots  int // jobs at a time, over all queues and kinds
	// Handlers are one for each kind that this process works; jobs of other kinds are
	// left to others.
	Handlers []Handler
	// Meter is told of the jobs that are put into queues; nil: nobody counts.
	Meter *Meter
}

// Client inserts jobs and, if it has queues, works them.
type Client struct {
	river *river.Client[pgx.Tx]
	o     Options
	slots chan struct{} // one process-wide limit, whatever the number of queues

	draining atomic.Bool // takes no new jobs
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
		SkipUnknownJobCheck:         true,
		CompletedJobRetentionPeriod: time.Hour,
	}
	if len(o.Queues) > 0 {
		workers, err := c.workers()
		if err != nil {
			return nil, err
		}
		cfg.Workers = workers
		cfg.Queues = map[string]river.QueueConfig{}
		for _, q := range o.Queues {
			cfg.Queues[riverName(q)] = river.QueueConfig{MaxWorkers: max(o.Slots, 1)}
		}
	}
	var err error
	if c.river, err = river.NewClient(gate{riverpgxv5.New(o.DB.Pool), &c.draining}, cfg); err != nil {
		return nil, fmt.Errorf("make queue client: %w", err)
	}
	return c, nil
}

// workers registers the handlers with River.
func (c *Client) workers() (*river.Workers, error) {
	workers, kinds := river.NewWorkers(), map[string]bool{}
	for _, h := range c.o.Handlers {
		if h.Kind == "" || h.Work == nil || kinds[h.Kind] {
			return nil, fmt.Errorf("queue: the handler of kind %q has no kind, no work, or is not the only one", h.Kind)
		}
		kinds[h.Kind] = true
		// The other ways of River's to register take the kind from the type, of which
		// there is one for all kinds here.
		river.AddWorkerArgs(workers, args{kind: h.Kind}, &worker{c: c, h: h})
	}
	return workers, nil
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
	if err := c.reassertPauses(ctx); err != nil {
		return err
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
	for _, h := range c.o.Handlers {
		if h.Drain != nil {
			go h.Drain(soft) // ends with soft at the latest
		}
	}
	hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), 2*drain)
	defer cancelHard()
	if err := c.river.Stop(hard); err != nil {
		return fmt.Errorf("stop queue: %w", err)
	}
	return nil
}

// drain is how long jobs may take to end by themselves. What needs longer is
// handed over by its handler.
const drain = 8 * time.Second

type worker struct {
	river.WorkerDefaults[args]
	c *Client
	h Handler
}

// Work takes one of the process's slots before the handler looks at the row.
// Whatever becomes of the row is the domain's to record, so the job itself always
// succeeds.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	select {
	case w.c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-w.c.slots }()
	w.h.Work(ctx, job.Args.id)
	return nil
}
