package run

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Jobs enqueues pointers to node runs as part of a transaction.
type Jobs interface {
	// InsertNodes enqueues one job for each node run, all or none.
	InsertNodes(ctx context.Context, tx *postgres.Tx, jobs []Job) error
}

// Job points at a node run that is to be claimed, not before At.
type Job struct {
	NodeRunID int64
	Queue     string
	At        time.Time // zero: at once
}

// Signaller carries stop orders to whoever holds an attempt: fast and lossy, the
// holder's heartbeat brings them as well.
type Signaller interface {
	SignalCancel(nodeRunIDs []int64)
}

// Options wire an Engine.
type Options struct {
	DB        *postgres.DB
	Log       *event.Log
	Jobs      Jobs
	Signaller Signaller
	// ExecutorFor names the executor that a kind of node is dispatched to.
	ExecutorFor func(kind string) string
	// DefaultTimeout is how long an attempt may take when its node does not say.
	// 0: 30 minutes.
	DefaultTimeout time.Duration
	// Timeout is DefaultTimeout where that may change; nil: it does not. TimeoutFor is that of
	// a node by its config; nil or 0: the default.
	Timeout    func() time.Duration
	TimeoutFor func(kind string, config json.RawMessage) time.Duration
	Observer   Observer // nil: nobody
	// Hint tells whoever holds an attempt in a pod that it has started or ended, fast and
	// lossy; nil: nobody is told. It must not block.
	Hint   func(nodeRunID int64, attempt int32)
	Now    func() time.Time
	Logger *slog.Logger
	// InWorker tells by its config that a node works in the worker itself, whatever
	// the executor of its kind; nil: none does. Of such a node the last two are asked.
	InWorker func(kind string, config json.RawMessage) bool
	// QueueFor names by its kind and config, as the flowchart or the request has it, the
	// queue that a node is worked from, in the transaction that makes the node run; nil or
	// "": llmctl_studio. ModeFor likewise gives its execution mode; nil or "": none.
	QueueFor func(ctx context.Context, q postgres.Querier, kind string, config json.RawMessage) (string, error)
	ModeFor  func(kind string, config json.RawMessage) string
	// Waits reports whether a node that asks to be suspended has to wait for a person.
	Waits func(ctx context.Context, q postgres.Querier, n *NodeRun) (bool, error)
	// Admit refuses to start runs of a graph while what its nodes need is not there; nil:
	// all may start.
	Admit func(ctx context.Context, g *flowchart.Graph) error
	// Retried is told in the transaction that makes the quick node that runs another one
	// again, and may refuse it; nil: nobody is told.
	Retried func(ctx context.Context, tx *postgres.Tx, again *NodeRun) error
	// GotFurther is asked about a node run that works in the worker, when its attempt is
	// lost: one that got further than the attempt before does not die of what it is at, and is
	// counted from anew. nil: none did.
	GotFurther func(ctx context.Context, tx *postgres.Tx, n *NodeRun) (bool, error)
	// Ended is told in the transaction that ends a node run.
	Ended func(ctx context.Context, tx *postgres.Tx, n *NodeRun) error
}

// Engine moves runs. It is safe for concurrent use and keeps no run state.
type Engine struct {
	Options
	q      *dbsqlc.Queries
	graphs *graphCache
}

// NewEngine makes an engine.
func NewEngine(o Options) *Engine {
	if o.DefaultTimeout == 0 {
		o.DefaultTimeout = 30 * time.Minute
	}
	if o.Timeout == nil {
		o.Timeout = func() time.Duration { return o.DefaultTimeout }
	}
	// As exact as the database keeps it: what an event says is what a query says.
	now := o.Now
	o.Now = func() time.Time { return now().UTC().Truncate(time.Microsecond) }
	return &Engine{Options: o, q: dbsqlc.New(), graphs: newGraphCache()}
}

// timeoutOf is how long an attempt of a node may take that does not say.
func (e *Engine) timeoutOf(kind string, config json.RawMessage) time.Duration {
	if e.TimeoutFor != nil {
		if d := e.TimeoutFor(kind, config); d > 0 {
			return d
		}
	}
	return e.Timeout()
}

// marking is the run's column: the pure marking plus the engine's counters.
type marking struct {
	Flow       flowchart.Marking `json:"flow"`
	Executions map[string]int32  `json:"executions"` // activations of each node so far
	Live       int               `json:"live"`       // node runs that have not ended
	Pending    []int64           `json:"pending,omitempty"`
	Waiting    []int64           `json:"waiting,omitempty"`      // node runs that wait for a person
	Ended      int32             `json:"ended,omitempty"`        // node runs that have ended; numbers their ends
	Cancelled  int               `json:"node_cancels,omitempty"` // node runs that were cancelled by themselves
}

func (m *marking) active() int { return m.Live - len(m.Pending) - len(m.Waiting) }

// change is everything that one transaction does to one run.
type change struct {
	nodeTx

	run      Run
	graph    *flowchart.Compiled
	marking  marking
	outputs  *outputs  // loaded before the lock
	control  int       // control nodes evaluated so far
	fresh    []NodeRun // queued in this transaction
	previous Status
}

// onRun locks a run, lets f change it, and writes what became of it. o is what
// was loaded before.
func (e *Engine) onRun(ctx context.Context, tx *postgres.Tx, id int64, o *outputs, f func(ctx context.Context, c *change) error) error {
	row, err := e.q.LockRun(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("lock run %d: %w", id, err)
	}
	graph, err := e.compiled(ctx, tx, row.FlowchartVersionID)
	if err != nil {
		return err
	}
	c := &change{nodeTx: nodeTx{e: e, tx: tx}, run: lockedRun(row), graph: graph, outputs: o, previous: row.Status}
	if err := json.Unmarshal(row.Marking, &c.marking); err != nil {
		return fmt.Errorf("read marking of run %d: %w", id, err)
	}
	if err := f(ctx, c); err != nil {
		return err
	}
	return c.save(ctx)
}

// lockedRun is a run as the lock gives it: without its input.
func lockedRun(r dbsqlc.LockRunRow) Run {
	return Run{
		ID: r.ID, ProjectID: r.ProjectID, FlowchartID: r.FlowchartID, FlowchartVersionID: r.FlowchartVersionID, Version: r.Version,
		Status: r.Status, Output: r.Output, OutputBlob: r.OutputBlob, OutputBytes: r.OutputBytes, Error: r.Error, Marking: r.Marking,
		StartNodeID: r.StartNodeID, RetryOf: r.RetryOf, AppUserID: r.AppUserID, RequestID: r.RequestID, CorrelationID: r.CorrelationID,
		NodeExecutions: r.NodeExecutions, MaxNodeExecutions: r.MaxNodeExecutions, MaxParallelNodes: r.MaxParallelNodes,
		DeadlineAt: r.DeadlineAt, CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		PausedAt: r.PausedAt, CancelRequestedAt: r.CancelRequestedAt, RetryFrom: r.RetryFrom, ScheduleID: r.ScheduleID, DueAt: r.DueAt,
		Traceparent: r.Traceparent,
	}
}

// save settles the run's own state, writes the row, the jobs and the run's event.
func (c *change) save(ctx context.Context) error {
	if err := c.settle(); err != nil {
		return err
	}
	if err := FlowchartRuns().check("run", c.run.ID, c.previous, c.run.Status); err != nil {
		return err
	}
	raw, err := json.Marshal(c.marking)
	if err != nil {
		return fmt.Errorf("encode marking: %w", err)
	}
	r := &c.run
	if err := c.e.q.SaveRun(ctx, c.tx, dbsqlc.SaveRunParams{
		ID: r.ID, Status: r.Status, Output: r.Output, OutputBlob: r.OutputBlob, OutputBytes: r.OutputBytes, Error: r.Error, Marking: raw,
		NodeExecutions: r.NodeExecutions, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		DeadlineAt: r.DeadlineAt, PausedAt: r.PausedAt, CancelRequestedAt: r.CancelRequestedAt,
	}); err != nil {
		return fmt.Errorf("save run %d: %w", r.ID, err)
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	c.observeRun()
	if r.Status != c.previous {
		return c.announceRun(ctx, c.previous)
	}
	return nil
}

// settle ends the run when nothing of it is left, and pauses it when nothing of
// it runs any more.
func (c *change) settle() error {
	r := &c.run
	switch {
	case r.FinishedAt != nil:
	case c.marking.Live > 0:
		if r.Status == Pausing && c.marking.active() == 0 {
			now := c.e.Now()
			r.Status, r.PausedAt = Paused, &now
		}
	case r.Status == Cancelling && r.Error != nil:
		c.end(Failed)
	case r.Status == Cancelling:
		c.end(Cancelled)
	case c.marking.Cancelled > 0 && !c.reachedEnd():
		return c.endCutShort()
	default:
		c.end(Succeeded)
	}
	return nil
}

func (c *change) end(status Status) {
	now := c.e.Now()
	c.run.Status, c.run.FinishedAt, c.run.PausedAt = status, &now, nil
	if c.run.StartedAt == nil {
		c.run.StartedAt = &now
	}
}

// fail records why the run cannot succeed and stops what is left of it. The
// first failure is the one that is kept.
func (c *change) fail(ctx context.Context, f Failure) error {
	if c.run.Error == nil {
		raw, err := json.Marshal(f)
		if err != nil {
			return fmt.Errorf("encode failure: %w", err)
		}
		c.run.Error = raw
	}
	return c.stop(ctx)
}

// stop cancels what has not begun and orders what runs to stop.
func (c *change) stop(ctx context.Context) error {
	now := c.e.Now()
	c.run.Status, c.run.CancelRequestedAt, c.run.PausedAt = Cancelling, &now, nil
	c.jobs, c.fresh = nil, nil
	live, err := c.e.q.LockLiveNodeRuns(ctx, c.tx, &c.run.ID)
	if err != nil {
		return fmt.Errorf("lock live nodes of run %d: %w", c.run.ID, err)
	}
	for i := range live {
		if err := c.stopNode(ctx, &live[i]); err != nil {
			return err
		}
	}
	c.marking.Pending, c.marking.Waiting = nil, nil
	return nil
}

func (c *change) stopNode(ctx context.Context, n *NodeRun) error {
	switch n.Status {
	case Running:
		return c.orderStop(ctx, n)
	case Cancelling:
		return nil
	}
	now := c.e.Now()
	if n.CancelRequestedAt == nil {
		n.CancelRequestedAt = &now
	}
	if err := move(n, Cancelled); err != nil {
		return err
	}
	n.FinishedAt = &now
	c.marking.Live--
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	return c.announceStop(ctx, n, "cancel_requested")
}
