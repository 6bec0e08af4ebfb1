package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/tracing"
)

// Engine is what the runner needs of the run engine.
type Engine interface {
	Claim(ctx context.Context, nodeRunID int64, worker uuid.UUID) (*run.Claim, error)
	Prepare(ctx context.Context, claim *run.Claim) (run.Work, *run.Failure, error)
	Finish(ctx context.Context, nodeRunID int64, attempt int32, res run.Result, o run.FinishOptions) (*run.Claim, error)
	DispatchedPayload(ctx context.Context, nodeRunID int64, attempt int32) ([]byte, error)
	LetGo(ctx context.Context, r run.Ref) error
}

// Models resolves the model that a node asks for, with the secrets that it needs
// and no others.
type Models interface {
	Resolve(ctx context.Context, modelID int64) (executor.Model, map[string]string, error)
}

// RunnerOptions wire a Runner.
type RunnerOptions struct {
	Engine    Engine
	Models    Models
	Recorder  *Recorder
	Executors map[string]executor.Executor // by name
	Worker    uuid.UUID
	Queues    []string    // that this worker consumes: it goes on with nothing of another; nil: with anything
	Fresh     func() bool // whether this worker may start side effects
	// Contended reports whether work of another queue waits for this worker; nil: never.
	Contended func(queue string) bool
	Chain     func() bool // whether it may go on with what follows from a node run; nil: always
	Meter     Meter       // nil: nobody counts
	Tracer    *tracing.Tracer
	Now       func() time.Time
	Logger    *slog.Logger
}

// Meter counts what the queues do.
type Meter interface {
	// Enqueued counts node runs that went to a worker without a job of their own.
	Enqueued(queue string, n int)
	// Worked counts an attempt that ended.
	Worked(queue string, waited, took time.Duration, failed bool)
}

// Runner works the node runs that this process claims.
type Runner struct {
	o RunnerOptions

	mu       sync.Mutex
	held     map[int64]heldAttempt
	draining bool
	idle     chan struct{} // closed when nothing is held any more; set by Drain
}

type heldAttempt struct {
	number int32
	cancel context.CancelCauseFunc
	remote bool // it outlives this process, which lets go of it when it stops
}

// maxChain bounds how many node runs one job may work in a row before it goes
// back to the queue, so that a long run cannot keep a slot from others.
const maxChain = 64

// errHandOver ends the attempts of a worker that stops; they go to another one.
var errHandOver = errors.New("worker stops")

// NewRunner makes a runner.
func NewRunner(o RunnerOptions) *Runner { return &Runner{o: o, held: map[int64]heldAttempt{}} }

// Work claims a node run and works it, and then those that follow from it, until
// there is nothing to go on with. It is what a job does.
func (r *Runner) Work(ctx context.Context, nodeRunID int64) {
	if !r.o.Fresh() || r.isDraining() {
		return // the sweep of a worker that is fresh replaces the job
	}
	claim, err := r.o.Engine.Claim(ctx, nodeRunID, r.o.Worker)
	if err != nil {
		r.o.Logger.WarnContext(ctx, "claim failed", "node_run_id", nodeRunID, "error", err)
		return
	}
	for i := 0; claim != nil; i++ {
		if claim.Executor == run.InPod {
			r.remote(ctx, claim)
			return // what follows has jobs
		}
		claim = r.attempt(ctx, claim, i < maxChain)
	}
}

// goesOn reports whether this worker may go on with what follows from a node run
// without a job of its own.
func (r *Runner) goesOn(queue string) bool {
	return !r.isDraining() && r.o.Fresh() && (r.o.Chain == nil || r.o.Chain()) && (r.o.Contended == nil || !r.o.Contended(queue))
}

// attempt works one claimed attempt to its end and gives the next claim, if any.
func (r *Runner) attempt(ctx context.Context, claim *run.Claim, chain bool) *run.Claim {
	a := newAttempt(*claim)
	defer a.close()
	ctx = r.o.Tracer.Under(ctx, spanOf(claim))
	// The end must be committed even when this worker is being stopped.
	commit := context.WithoutCancel(ctx)
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	seconds := time.Duration(claim.NodeRun.TimeoutSeconds * float64(time.Second))
	limited, stop := context.WithTimeoutCause(attempt, seconds, executor.ErrTimeout)
	defer stop()

	r.hold(claim, heldAttempt{number: claim.Attempt, cancel: cancel})
	defer r.release(claim)
	began := r.o.Now()
	res := r.execute(limited, a)
	if errors.Is(context.Cause(limited), errHandOver) && res.Status != run.Succeeded {
		res = run.Result{Status: run.Lost, Stages: res.Stages, Error: &run.Failure{
			Code: run.CodeHandedOver, Retryable: true, Message: "The worker was stopped and handed the node over.",
		}}
	}
	next := r.finish(commit, a, res, chain && r.goesOn(claim.NodeRun.Queue))
	r.count(&claim.NodeRun, began, res.Status, next)
	return next
}

// count tells the meter of an attempt that ended. An attempt waits from when it was
// due, not from when it was queued: a retry's back-off is no waiting.
func (r *Runner) count(n *run.NodeRun, began time.Time, status run.Status, next *run.Claim) {
	if r.o.Meter == nil {
		return
	}
	due := n.RunAfter
	if n.QueuedAt != nil && n.QueuedAt.After(due) {
		due = *n.QueuedAt
	}
	r.o.Meter.Worked(n.Queue, max(began.Sub(due), 0), r.o.Now().Sub(began), status == run.Failed || status == run.Lost)
	if next != nil {
		r.o.Meter.Enqueued(next.NodeRun.Queue, 1)
	}
}

// execute prepares the attempt's payload and has the executor run it.
func (r *Runner) execute(ctx context.Context, a *attempt) run.Result {
	claim := &a.claim
	work, failure, err := r.prepare(ctx, claim)
	if err != nil {
		return run.Result{Status: run.Failed, Error: &run.Failure{
			Code: "infra", Retryable: true, Message: "The node's inputs could not be loaded.",
		}}
	}
	if failure != nil {
		return run.Result{Status: run.Failed, Error: failure}
	}
	a.mu.Lock()
	a.input = work.InputContext
	now := r.o.Now()
	a.started = &now
	a.mu.Unlock()
	payload, failure := r.payload(ctx, claim, work)
	if failure != nil {
		return run.Result{Status: run.Failed, Error: failure, InputContext: work.InputContext}
	}
	ex, ok := r.o.Executors[claim.Executor]
	if !ok {
		return run.Result{Status: run.Failed, Error: &run.Failure{
			Code: "dispatch", Message: fmt.Sprintf("This worker has no executor %q.", claim.Executor),
		}}
	}
	result := ex.Execute(ctx, payload, r.sink(a))
	return resultOf(result, work.InputContext)
}

// payload builds the executor's payload; only this node's secrets go into it.
func (r *Runner) payload(ctx context.Context, claim *run.Claim, work run.Work) (executor.Payload, *run.Failure) {
	p := executor.Payload{
		ContractVersion: executor.Version, NodeRunID: claim.NodeRun.ID, Attempt: int(claim.Attempt),
		Kind: work.Kind, Config: work.Config, InputContext: work.InputContext, Traceparent: tracing.Parent(ctx),
	}
	var wants struct {
		ModelID int64 `json:"model_id"`
	}
	if err := json.Unmarshal(work.Config, &wants); err != nil {
		return p, &run.Failure{Code: "config", Message: "The node's configuration is not a JSON object."}
	}
	if wants.ModelID == 0 {
		return p, nil
	}
	var model executor.Model
	var secrets map[string]string
	err := persist(ctx, r.o.Logger, "load a node's model", func() (err error) {
		model, secrets, err = r.o.Models.Resolve(ctx, wants.ModelID)
		return err
	})
	if message, ok := forPeople(err); ok {
		return p, &run.Failure{Code: "unknown_model", Message: message}
	}
	if err != nil {
		return p, &run.Failure{Code: "infra", Retryable: true, Message: "The node's model could not be loaded."}
	}
	p.Model, p.Secrets = &model, secrets
	return p, nil
}

// sink takes the executor's events.
func (r *Runner) sink(a *attempt) executor.Sink {
	return func(e executor.Event) error {
		at := r.o.Now()
		switch e.Type {
		case executor.EventStage:
			a.stage(e.Stage, stageStatus(e.Status), at)
		case executor.EventLog:
			a.add("log", e.Stage, withNewline(e.Text), at)
		case executor.EventDelta:
			a.add("delta", "", e.Text, at)
		case executor.EventSpan:
			r.o.Tracer.Relay(spanOf(&a.claim), e.Span)
			return nil
		default:
			return nil // started, tool, usage and result are kept with the result
		}
		r.o.Recorder.touched(a)
		return nil
	}
}

func (r *Runner) finish(ctx context.Context, a *attempt, res run.Result, chain bool) *run.Claim {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t, left, err := a.takeLast()
	if err != nil {
		r.o.Logger.ErrorContext(ctx, "node progress could not be encoded", "error", err)
	}
	a.mu.Lock()
	if res.Stages == nil {
		res.Stages = encode(closeStages(a.stages, res.Status, r.o.Now()))
	}
	res.CurrentStage, res.StartedAt, res.FirstTokenAt = a.current, a.started, a.firstToken
	a.mu.Unlock()
	o := run.FinishOptions{Before: func(_ context.Context, tx *postgres.Tx) error {
		if !left {
			return nil
		}
		return r.o.Recorder.finish(tx, t)
	}}
	if chain {
		o.Next, o.NextQueues = &r.o.Worker, r.o.Queues
	}
	return r.commit(ctx, a, res, o)
}

// commit tries until the end of the attempt is stored, is superseded, or its
// time is over; then the sweep of another worker decides.
func (r *Runner) commit(ctx context.Context, a *attempt, res run.Result, o run.FinishOptions) *run.Claim {
	c := &a.claim
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		next, err := r.finishOnce(ctx, c, res, o)
		if err == nil {
			return next
		}
		if errors.Is(err, run.ErrSuperseded) {
			r.o.Logger.InfoContext(ctx, "late result dropped, attempt was superseded", "node_run_id", c.NodeRun.ID, "attempt", c.Attempt)
			return nil
		}
		r.o.Logger.WarnContext(ctx, "could not commit the end of an attempt, trying again", "node_run_id", c.NodeRun.ID, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// Cancel stops the attempt of a node run if this process holds it.
func (r *Runner) Cancel(nodeRunID int64) {
	r.mu.Lock()
	h, ok := r.held[nodeRunID]
	r.mu.Unlock()
	if ok {
		h.cancel(executor.ErrCancelled)
	}
}

// Drain makes the runner take nothing more and waits for what it holds; when ctx
// ends, that is given to other workers. What runs elsewhere is given to them at once.
func (r *Runner) Drain(ctx context.Context) {
	r.mu.Lock()
	r.draining = true
	for _, h := range r.held {
		if h.remote {
			h.cancel(executor.ErrLetGo)
		}
	}
	idle := make(chan struct{})
	if len(r.held) == 0 {
		close(idle)
	} else {
		r.idle = idle
	}
	r.mu.Unlock()
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		h.cancel(errHandOver)
	}
}

func (r *Runner) isDraining() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.draining
}

func (r *Runner) hold(c *run.Claim, h heldAttempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held[c.NodeRun.ID] = h
	if h.remote && r.draining {
		h.cancel(executor.ErrLetGo)
	}
}

func (r *Runner) release(c *run.Claim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h, ok := r.held[c.NodeRun.ID]; ok && h.number == c.Attempt {
		delete(r.held, c.NodeRun.ID)
	}
	if len(r.held) == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}
