package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
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
	// ChatSlots are the turns at a time of a process that works the default queue; 0: it
	// works none. They take nothing of Slots.
	ChatSlots int
	// Weights of the queues in the sharing of the slots; what is not named has 1.
	Weights map[string]int
	// Worker is this process in the registry of workers. Jobs that it took are settled
	// by others when it dies.
	Worker uuid.UUID
	// Fresh reports whether this process may take jobs; nil: always.
	Fresh func() bool
	// Handlers are one for each kind that this process works; jobs of other kinds are
	// left to others.
	Handlers []Handler
	// Meter is told of the jobs that are put into queues; nil: nobody counts.
	Meter *Meter
}

// Client inserts jobs and, if it has queues, works them.
type Client struct {
	river *river.Client[pgx.Tx] // inserts; Run makes the one that works
	o     Options
	slots *slots
	turns *slots // of Chat
	bell  *bell

	handOver func() // ends the time that jobs have to end by themselves: closes handed
	handed   chan struct{}

	draining atomic.Bool // takes no new jobs
}

// NewClient makes a client; Run starts the working side.
func NewClient(o Options) (*Client, error) {
	if o.Fresh == nil {
		o.Fresh = func() bool { return true }
	}
	o.Slots = max(o.Slots, 1)
	c := &Client{o: o, slots: newSlots(o.Slots, o.Queues, o.Weights, time.Now), bell: newBell(o.DB.Pool, o.Logger)}
	c.turns = newSlots(o.ChatSlots, []string{Chat}, nil, time.Now)
	c.handed = make(chan struct{})
	c.handOver = sync.OnceFunc(func() { close(c.handed) })
	if _, err := c.workers(); err != nil {
		return nil, err
	}
	var err error
	if c.river, err = river.NewClient(inserting{riverpgxv5.New(o.DB.Pool)}, configuration(o)); err != nil {
		return nil, fmt.Errorf("make queue client: %w", err)
	}
	return c, nil
}

// never is longer than anything runs.
const never = 50 * 365 * 24 * time.Hour

func configuration(o Options) *river.Config {
	cfg := &river.Config{
		Logger: o.Logger,
		// Waiting for a wake-up must not cost more than the wake-up itself.
		FetchCooldown:     river.FetchCooldownMin,
		FetchPollInterval: time.Second,
		// Deadlines, retries and rescue belong to the domain.
		JobTimeout:           -1,
		MaxAttempts:          1,
		RescueStuckJobsAfter: never,
		// A job that is unknown here may be known elsewhere.
		FetchOnlyKnownKinds:         true,
		SkipUnknownJobCheck:         true,
		CompletedJobRetentionPeriod: time.Hour,
	}
	if o.Worker != uuid.Nil {
		cfg.ID = o.Worker.String()
	}
	return cfg
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

// consumer makes the client that works jobs, on connections of its own.
func (c *Client) consumer(pool *pgxpool.Pool) (*river.Client[pgx.Tx], error) {
	cfg, public := configuration(c.o), map[string]string{}
	var err error
	if cfg.Workers, err = c.workers(); err != nil {
		return nil, err
	}
	cfg.Queues = map[string]river.QueueConfig{}
	for _, q := range c.o.Queues {
		public[riverName(q)] = q
		cfg.Queues[riverName(q)] = river.QueueConfig{MaxWorkers: c.o.Slots}
	}
	if c.worksChat() {
		public[riverName(Chat)] = Chat
		cfg.Queues[riverName(Chat)] = river.QueueConfig{MaxWorkers: c.o.ChatSlots}
	}
	client, err := river.NewClient(newDriver(pool, &fetching{slots: c.slots, turns: c.turns, public: public, fresh: c.takes}), cfg)
	if err != nil {
		return nil, fmt.Errorf("make queue client: %w", err)
	}
	return client, nil
}

// marksPool gives the connections on which River marks jobs as running and as ended.
// These marks are not worth waiting for the disk: one that the database forgets in a
// crash of its machine makes a job come again, and that finds nothing to claim. What
// counts, the job's insert and the claim of its row, is in the domain's transactions.
func (c *Client) marksPool(ctx context.Context) (*pgxpool.Pool, error) {
	cfg := c.o.DB.Pool.Config()
	cfg.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	cfg.MinConns, cfg.MinIdleConns = 0, 0
	cfg.MaxConns = int32(min(len(c.o.Queues)+1, 8)) + 3 // a fetch for each queue, the listener, the ends of jobs, the leader
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open connections for the queue: %w", err)
	}
	return pool, nil
}

// worksChat reports whether this process takes turns.
func (c *Client) worksChat() bool { return c.o.ChatSlots > 0 && slices.Contains(c.o.Queues, Default) }

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
	pool, err := c.marksPool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	client, err := c.consumer(pool)
	if err != nil {
		return err
	}
	// River stops when its start context ends; the drain below wants to decide that.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := client.Start(work); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	ready()
	due := newDueTimer(pool, c.o.Logger)
	due.run(ctx)
	c.slots.close()
	c.turns.close()
	soft, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	go func() { // ends with soft at the latest
		select {
		case <-c.handed:
			cancel()
		case <-soft.Done():
		}
	}()
	for _, h := range c.o.Handlers {
		if h.Drain != nil {
			go h.Drain(soft) // ends with soft at the latest
		}
	}
	hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), 2*drain)
	defer cancelHard()
	if err := client.Stop(hard); err != nil {
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

// Work has the handler work the row; a slot is there since the job was fetched.
// Whatever becomes of the row is the domain's to record, so the job itself
// succeeds, unless this process may not work it any more: then it is there for
// others.
func (w *worker) Work(ctx context.Context, job *river.Job[args]) error {
	defer w.c.slots.release(job.ID)
	defer w.c.turns.release(job.ID)
	if w.c.slots.isClosed() || !w.c.o.Fresh() {
		return river.JobSnooze(0)
	}
	w.h.Work(ctx, job.Args.id)
	return nil
}

// HandOver ends the time that running jobs have to end by themselves: when the client
// stops, or if it already does, what runs is handed over at once.
func (c *Client) HandOver() { c.handOver() }

// Contended reports whether jobs of another queue wait for a slot of this process:
// then a chain of work makes way.
func (c *Client) Contended(queue string) bool { return c.slots.contended(queue) }

// Busy is how many slots of this process are taken.
func (c *Client) Busy() int { return c.slots.busy() }
