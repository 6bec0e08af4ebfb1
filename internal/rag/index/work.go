package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch"
	"github.com/llmctl/studio/internal/rag/index/dbsqlc"
)

// Request is what an attempt of a node run is to index.
type Request struct {
	NodeRunID int64
	Attempt   int32
	Config    Config
}

// Outcome is how an attempt ended.
type Outcome int

// The outcomes.
const (
	Done      Outcome = iota // all is indexed
	Partly                   // some files failed
	Broken                   // Result.Failure says why
	Suspended                // it waits for a person
	Stopped                  // its context ended, or it may not write any more
)

// SourceOutput is what became of one source.
type SourceOutput struct {
	SourceID   int64 `json:"source_id"`
	IndexRunID int64 `json:"index_run_id"`
	Found      int32 `json:"found"`
	Added      int32 `json:"added"`
	Changed    int32 `json:"changed"`
	Removed    int32 `json:"removed"`
	Kept       int32 `json:"kept"`
	Failed     int32 `json:"failed"`
	Chunks     int32 `json:"chunks"`
}

// Output is the output state of a node that indexes: sums, and each source.
type Output struct {
	Mode    string         `json:"mode"`
	Found   int32          `json:"found"`
	Added   int32          `json:"added"`
	Changed int32          `json:"changed"`
	Removed int32          `json:"removed"`
	Kept    int32          `json:"kept"`
	Failed  int32          `json:"failed"`
	Chunks  int32          `json:"chunks"`
	Sources []SourceOutput `json:"sources"`
}

// Result is how an attempt went.
type Result struct {
	Outcome Outcome
	Output  Output   // of Done and Partly
	Failure *Failure // of Broken
	Tokens  int64
}

// target is one source of an attempt.
type target struct {
	run    Run
	source dbsqlc.LockSourceRow
	tree   fetch.Tree
	failed *Failure
	waits  bool // for a person
}

// open reports whether there is still something to do for it.
func (t *target) open() bool { return t.run.FinishedAt == nil && t.failed == nil && !t.waits }

// attempt is one attempt of a node run that indexes.
type attempt struct {
	s       *Service
	req     Request
	report  *reports
	setup   Setup
	targets []*target
	pulse   pulse
	fence   sync.Mutex            // one transaction at a time
	notes   atomic.Pointer[notes] // of the source whose files are worked

	embedderID *int64 // nil: there are no vectors
	tokens     int64
}

// reports makes a Reporter one that may be called from anywhere.
type reports struct {
	mu   sync.Mutex
	to   Reporter
	beat func()
	shut bool
}

// shutUp ends what is told.
func (r *reports) shutUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
}

func (r *reports) enter(p Phase) error {
	r.beat()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut {
		return errStalled
	}
	return r.to.Enter(p)
}

// logf writes a line. A reporter that does not work ends the attempt by its context.
func (r *reports) logf(format string, a ...any) {
	r.beat()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.shut {
		_ = r.to.Log(fmt.Sprintf(format, a...))
	}
}

// Work works an attempt to its end. What an attempt before it has done stays done.
func (s *Service) Work(ctx context.Context, req Request, to Reporter) Result {
	a := &attempt{s: s, req: req}
	a.report = &reports{to: to, beat: a.beat}
	ctx, stop := a.alive(ctx)
	done := make(chan Result, 1)
	go func() {
		res := a.work(ctx)
		a.close()
		stop()
		done <- res
	}()
	select {
	case res := <-done:
		return res
	case <-ctx.Done():
		return a.ended(ctx, done)
	}
}

// work works the phases.
func (a *attempt) work(ctx context.Context) Result {
	for p, f := range []func(context.Context) error{
		PhaseOpen: a.open, PhaseSync: a.sync, PhasePlan: a.plan, PhaseApply: a.apply, PhaseFiles: a.files, PhaseSwap: a.swap,
	} {
		a.pulse.phase.Store(int64(p))
		err := a.report.enter(Phase(p))
		if err == nil {
			err = f(ctx)
		}
		if err != nil {
			return a.broken(ctx, err)
		}
		if !slices.ContainsFunc(a.targets, (*target).open) {
			break // all wait or have failed, and the stage is the one in which they did
		}
	}
	return a.result()
}

func (a *attempt) close() {
	for _, t := range a.targets {
		if t.tree != nil {
			if err := t.tree.Close(); err != nil {
				a.s.o.Logger.Warn("a source's tree was not closed", "source_id", t.source.ID, "error", err)
			}
		}
	}
}

// broken is the result of an attempt that cannot go on.
func (a *attempt) broken(ctx context.Context, err error) Result {
	if errors.Is(context.Cause(ctx), errStalled) && !isSilent(err) {
		return Result{Outcome: Broken, Failure: a.stalled(), Tokens: a.tokens}
	}
	if ctx.Err() != nil || isSilent(err) {
		return Result{Outcome: Stopped, Tokens: a.tokens}
	}
	return Result{Outcome: Broken, Failure: failureOf(err, CodeInfra), Tokens: a.tokens}
}

// result is that of an attempt that did what it could. A source that failed fails the
// node, though the others are indexed.
func (a *attempt) result() Result {
	out := Result{Output: a.output(), Tokens: a.tokens}
	failures := slices.DeleteFunc(slices.Clone(a.targets), func(t *target) bool { return t.failed == nil })
	switch {
	case slices.ContainsFunc(a.targets, func(t *target) bool { return t.waits }):
		out.Outcome = Suspended
	case len(failures) > 0:
		out.Outcome = Broken
		f := *failures[0].failed
		if len(a.targets) > 1 {
			f.Message = failures[0].source.Name + ": " + f.Message
		}
		for _, t := range failures {
			f.Retryable = f.Retryable && t.failed.Retryable
		}
		out.Failure = &f
	case out.Output.Failed > 0:
		out.Outcome = Partly
	}
	return out
}

func (a *attempt) output() Output {
	o := Output{Mode: a.req.Config.Mode, Sources: make([]SourceOutput, 0, len(a.targets))}
	for _, t := range a.targets {
		r := &t.run
		o.Sources = append(o.Sources, SourceOutput{
			SourceID: r.RagSourceID, IndexRunID: r.ID, Found: r.Found, Added: r.Added, Changed: r.Changed, Removed: r.Removed, Kept: r.Kept,
			Failed: r.Failed, Chunks: r.Chunks,
		})
		o.Found += r.Found
		o.Added += r.Added
		o.Changed += r.Changed
		o.Removed += r.Removed
		o.Kept += r.Kept
		o.Failed += r.Failed
		o.Chunks += r.Chunks
	}
	return o
}

// each does f for the sources that there is still something to do for. What is one
// source's fault does not keep the others from being indexed.
func (a *attempt) each(ctx context.Context, code string, f func(ctx context.Context, t *target) error) error {
	for _, t := range a.targets {
		if !t.open() {
			continue
		}
		err := f(ctx, t)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || isSilent(err) {
			return err
		}
		if err := a.failTarget(ctx, t, failureOf(err, code)); err != nil {
			return err
		}
	}
	return nil
}

// failTarget notes why a source cannot be indexed. The run ends with its node run, which
// may get another attempt.
func (a *attempt) failTarget(ctx context.Context, t *target, f *Failure) error {
	t.failed = f
	a.report.logf("%s cannot be indexed: %s", t.source.Name, f.Message)
	return a.status(ctx, t, t.run.Status, f)
}

// hold takes the fence.
func (s *Service) hold(ctx context.Context, tx *postgres.Tx, r Request) error {
	_, err := s.q.HoldAttempt(ctx, tx, dbsqlc.HoldAttemptParams{ID: r.NodeRunID, Attempt: r.Attempt})
	if postgres.NotFound(err) {
		return errFenced
	}
	if err != nil {
		return fmt.Errorf("hold attempt %d of node run %d: %w", r.Attempt, r.NodeRunID, err)
	}
	return nil
}
