package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Wait is a pause that an embedder makes before it asks its provider again.
type Wait struct {
	For    time.Duration
	Reason string // of the provider, a word
}

// shortestWait is what is worth telling beyond the log.
const shortestWait = time.Second

// waiting is the error of a run that waits for its provider; it is no failure yet.
func waiting(message string, until time.Time) *Failure {
	return &Failure{Code: codeWaiting, Message: message, Retryable: true, Details: map[string]any{"until": until.UTC().Format(time.RFC3339)}}
}

// waits is told of a pause of the embedder, by whoever pauses. ctx is that of the opening:
// later there are notes, which are stored by somebody else.
func (a *attempt) waits(ctx context.Context, w Wait) {
	a.report.logf("The embedding provider: %s; going on in %s.", w.Reason, w.For.Round(100*time.Millisecond))
	if w.For < shortestWait {
		return
	}
	until := a.s.o.Now().Add(w.For)
	f := waiting(fmt.Sprintf("Waiting for the embedding provider (%s) until %s UTC.", w.Reason, until.UTC().Format(time.TimeOnly)), until)
	if n := a.notes.Load(); n != nil {
		n.set(f)
		return
	}
	for _, t := range a.targets {
		if t.open() {
			// What it cannot say here, the next write of the attempt runs into.
			_ = a.status(ctx, t, t.run.Status, f)
		}
	}
}

// notes stores and tells what the files of a run wait for. Whoever waits only sets it:
// that must not wait for the database as well.
type notes struct {
	a *attempt
	t *target

	mu    sync.Mutex
	want  *Failure
	fresh chan struct{}
}

func newNotes(a *attempt, t *target) *notes { return &notes{a: a, t: t, fresh: make(chan struct{}, 1)} }

// set says what is waited for; nil: nothing any more.
func (n *notes) set(f *Failure) {
	n.mu.Lock()
	same := n.want == f
	n.want = f
	n.mu.Unlock()
	if same {
		return
	}
	select {
	case n.fresh <- struct{}{}:
	default: // whoever stores it finds the newest
	}
}

// run stores what is set until over is closed; then nothing is waited for.
func (n *notes) run(ctx context.Context, over <-chan struct{}) error {
	var shown *Failure
	store := func() error {
		n.mu.Lock()
		want := n.want
		n.mu.Unlock()
		if want == shown {
			return nil
		}
		shown = want
		_, err := n.a.setStatus(ctx, n.t.run.ID, Indexing, want)
		return err
	}
	for {
		select {
		case <-n.fresh:
			if err := store(); err != nil && (ctx.Err() == nil || isSilent(err)) {
				return err
			}
		case <-over:
			n.set(nil)
			return store()
		case <-ctx.Done():
			return nil
		}
	}
}

// isSilent reports whether an error ends an attempt without a word.
func isSilent(err error) bool { return errors.Is(err, errFenced) || errors.Is(err, errCrashed) }
