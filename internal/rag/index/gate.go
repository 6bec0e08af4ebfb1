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
	a *attempt
	t *target

	mu    sync.Mutex
	since time.Time // the provider does not answer; zero: it does
	gone  bool
	bad   int // files that were refused in a row; negative: something was embedded
}

func newGate(a *attempt, t *target) *gate { return &gate{a: a, t: t} }

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
		if err == nil {
			return out, g.answers(ctx)
		}
		said, ok := errors.AsType[*llm.Error](err)
		if !ok || !said.Retryable() || ctx.Err() != nil {
			return out, err
		}
		if err := g.silent(ctx, said, pause); err != nil {
			return out, err
		}
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

// silent notes that the provider did not answer, tells it once, and ends the patience.
func (g *gate) silent(ctx context.Context, e *llm.Error, pause time.Duration) error {
	patience := g.a.s.o.Patience
	g.mu.Lock()
	first := g.since.IsZero()
	if first {
		g.since = g.a.s.o.Now()
	}
	gone := g.a.s.o.Now().Sub(g.since) >= patience
	g.gone = g.gone || gone
	g.mu.Unlock()
	switch {
	case gone:
		g.a.report.logf("The embedding provider did not answer for %s. The files that are left fail; try them again later.", patience)
		return nil
	case first:
		message := fmt.Sprintf("Waiting for the embedding provider, for up to %s: %s", patience, e.Message)
		g.a.report.logf("%s", message)
		return g.a.note(ctx, g.t, &Failure{Code: codeWaiting, Message: message, Retryable: true})
	}
	g.a.report.logf("The embedding provider still does not answer; trying again in %s.", pause)
	return nil
}

// answers notes that the provider answers.
func (g *gate) answers(ctx context.Context) error {
	g.mu.Lock()
	waited := g.since
	g.since = time.Time{}
	g.mu.Unlock()
	if waited.IsZero() {
		return nil
	}
	g.a.report.logf("The embedding provider answers again, after %s.", g.a.s.o.Now().Sub(waited).Round(time.Second))
	return g.a.note(ctx, g.t, nil)
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
