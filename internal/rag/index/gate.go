package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/llm"
)

// errProviderGone says that the provider did not answer for longer than a run waits.
var errProviderGone = errors.New("provider does not answer")

// The pauses between two tries of a provider that does not answer.
const (
	firstTry = 2 * time.Second
	lastTry  = 30 * time.Second
)

// gate waits for a provider that does not answer, as long as the options say; all
// batches of a run share its patience. Then the files that are left fail at once.
type gate struct {
	a     *attempt
	notes *notes

	mu    sync.Mutex
	since time.Time // the provider does not answer; zero: it does
	gone  bool
	bad   int // files that were refused in a row; negative: something was embedded
}

func newGate(a *attempt, n *notes) *gate { return &gate{a: a, notes: n} }

func (g *gate) embed(ctx context.Context, texts []string) (Embedded, error) {
	for pause := firstTry; ; pause = min(2*pause, lastTry) {
		if g.isGone() {
			return Embedded{}, errProviderGone
		}
		var out Embedded
		err := g.a.s.persist(ctx, "embed", func(ctx context.Context) (err error) {
			out, err = g.a.setup.Embedder.Embed(ctx, texts)
			return err
		})
		g.a.beat()
		if err == nil {
			g.answers()
			return out, nil
		}
		said, ok := errors.AsType[*llm.Error](err)
		if !ok || !said.Retryable() || ctx.Err() != nil {
			return out, err
		}
		g.silent(said, pause)
		if !sleep(ctx, pause) {
			return out, context.Cause(ctx)
		}
	}
}

func (g *gate) isGone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gone
}

// silent notes that the provider did not answer, and ends the patience.
func (g *gate) silent(e *llm.Error, pause time.Duration) {
	patience, now := g.a.s.o.Patience, g.a.s.o.Now()
	g.mu.Lock()
	first := g.since.IsZero()
	if first {
		g.since = now
	}
	gone := now.Sub(g.since) >= patience
	g.gone = g.gone || gone
	g.mu.Unlock()
	if gone {
		g.a.report.logf("The embedding provider did not answer for %s. The files that are left fail; try them again later.", patience)
		g.notes.set(nil)
		return
	}
	message := fmt.Sprintf("Waiting for the embedding provider, for up to %s: %s", patience, e.Message)
	if first {
		g.a.report.logf("%s", message)
	} else {
		g.a.report.logf("The embedding provider still does not answer; trying again in %s.", pause)
	}
	g.notes.set(waiting(message, now.Add(pause)))
}

// answers notes that the provider answers.
func (g *gate) answers() {
	g.mu.Lock()
	waited := g.since
	g.since = time.Time{}
	g.mu.Unlock()
	g.notes.set(nil)
	if !waited.IsZero() {
		g.a.report.logf("The embedding provider answers again, after %s.", g.a.s.o.Now().Sub(waited).Round(time.Second))
	}
}

// accepted and refusals count what is said of files.
func (g *gate) accepted() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bad = -1
}

func (g *gate) refusals() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.bad >= 0 {
		g.bad++
	}
	return g.bad
}
