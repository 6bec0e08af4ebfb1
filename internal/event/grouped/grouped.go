// Package grouped writes what many producers report, together: one transaction of a
// process for all of them, a few times a second. It must not know what is reported.
//
// A producer buffers; the group takes what it has and has it written. What could not
// be written is given back and comes with the next round.
package grouped

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

// Every is how long what is reported waits for company.
const Every = 50 * time.Millisecond

// writeLimit bounds one round.
const writeLimit = 15 * time.Second

// Source is a producer. B is what it hands over.
type Source[B any] interface {
	comparable
	// Take hands over what is buffered; ok is false when there is nothing.
	Take() (b B, ok bool, err error)
	// Written says that what was taken is stored.
	Written()
	// GiveBack puts what was taken, and could not be stored, in front again.
	GiveBack(b B)
}

// Options describe a group.
type Options[B any] struct {
	Name string
	DB   *postgres.DB
	// Write stores what was taken, as part of tx.
	Write func(ctx context.Context, tx *postgres.Tx, all []B) error
	// Eager begins a round at once when the last one is long enough ago; otherwise each
	// begins Every after the first report.
	Eager  bool
	Logger *slog.Logger
}

// Group is a service: Run writes.
type Group[S Source[B], B any] struct {
	o     Options[B]
	mu    sync.Mutex
	dirty map[S]struct{}
	wake  chan struct{}
}

// New makes a group.
func New[S Source[B], B any](o Options[B]) *Group[S, B] {
	return &Group[S, B]{o: o, dirty: map[S]struct{}{}, wake: make(chan struct{}, 1)}
}

// Name names the service.
func (g *Group[S, B]) Name() string { return g.o.Name }

// Touch notes that a source has something to hand over.
func (g *Group[S, B]) Touch(s S) {
	g.mu.Lock()
	g.dirty[s] = struct{}{}
	g.mu.Unlock()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// Run writes until ctx ends. It sleeps while nothing is reported.
func (g *Group[S, B]) Run(ctx context.Context, ready func()) error {
	ready()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		}
		wait := Every
		if g.o.Eager {
			wait -= time.Since(last)
		}
		if wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return nil
			case <-timer.C:
			}
		}
		last = time.Now()
		if err := g.Flush(ctx); err != nil && ctx.Err() == nil {
			g.o.Logger.WarnContext(ctx, "could not write what was reported, will try again", "what", g.o.Name, "error", err)
		}
	}
}

// taken is what one source handed over.
type taken[S, B any] struct {
	from S
	what B
}

// Flush writes one round.
func (g *Group[S, B]) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	g.mu.Lock()
	sources := make([]S, 0, len(g.dirty))
	for s := range g.dirty {
		sources = append(sources, s)
	}
	clear(g.dirty)
	g.mu.Unlock()
	var all []taken[S, B]
	var what []B
	for i, s := range sources {
		b, ok, err := s.Take()
		if err != nil {
			g.undo(all, sources[i:])
			return fmt.Errorf("take what was reported: %w", err)
		}
		if ok {
			all, what = append(all, taken[S, B]{s, b}), append(what, b)
		}
	}
	if len(all) == 0 {
		return nil
	}
	err := g.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error { return g.o.Write(ctx, tx, what) })
	if err != nil {
		g.undo(all, nil)
		return err
	}
	for _, t := range all {
		t.from.Written()
	}
	return nil
}

// undo lets what was not stored come again.
func (g *Group[S, B]) undo(all []taken[S, B], untouched []S) {
	for _, t := range all {
		t.from.GiveBack(t.what)
		g.Touch(t.from)
	}
	for _, s := range untouched {
		g.Touch(s)
	}
}
