// Package inline runs attempts inside the worker, for kinds of nodes that touch
// neither files nor commands. It must not know which kinds there are.
//
// Invariant: a handler that ignores its context cannot hold the caller. After the
// grace period Execute returns without it and drops what it still reports.
package inline

import (
	"context"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// DefaultGrace is how long a handler may take to notice that its context ended.
const DefaultGrace = 10 * time.Second

// Options configure an Executor. The zero value is usable.
type Options struct {
	Grace time.Duration
	Now   func() time.Time
}

// Executor runs handlers as function calls.
type Executor struct {
	runner executor.Runner
	grace  time.Duration
	now    func() time.Time
	wg     sync.WaitGroup
}

// New makes an executor over runner.
func New(runner executor.Runner, opts Options) *Executor {
	e := &Executor{runner: runner, grace: opts.Grace, now: opts.Now}
	if e.grace <= 0 {
		e.grace = DefaultGrace
	}
	if e.now == nil {
		e.now = time.Now
	}
	return e
}

// Name is "inline".
func (e *Executor) Name() string { return "inline" }

// Execute runs one attempt; see executor.Executor.
func (e *Executor) Execute(ctx context.Context, p executor.Payload, sink executor.Sink) executor.Result {
	if s := p.Limits.TimeoutSeconds; s > 0 {
		timed, stop := context.WithTimeoutCause(ctx, time.Duration(s*float64(time.Second)), executor.ErrTimeout)
		defer stop()
		ctx = timed
	}
	g := &gate{sink: sink}
	done := make(chan executor.Result, 1)
	e.wg.Go(func() { done <- executor.Run(ctx, p, g.emit, e.runner, e.now) })
	select {
	case res := <-done:
		return res
	case <-ctx.Done():
	}
	t := time.NewTimer(e.grace)
	defer t.Stop()
	select {
	case res := <-done:
		return res
	case <-t.C:
		g.shut()
		res, _ := executor.Ended(ctx)
		return res.WithDetails(map[string]any{"abandoned": true})
	}
}

// Wait returns when no handler runs any more, also none that was abandoned, or
// when ctx ends.
func (e *Executor) Wait(ctx context.Context) error {
	idle := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gate separates an abandoned handler from the caller's sink. It does not hold its
// lock during the call, since the sink may be what blocks.
type gate struct {
	mu   sync.Mutex
	off  bool
	sink executor.Sink
}

func (g *gate) emit(ev executor.Event) error {
	g.mu.Lock()
	off := g.off
	g.mu.Unlock()
	if off {
		return executor.ErrCancelled
	}
	return g.sink(ev)
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.off = true
}
