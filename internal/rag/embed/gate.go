package embed

import (
	"context"
	"sync"
	"time"
)

// gate holds requests back until a time that any of them can put off.
type gate struct {
	now   func() time.Time
	mu    sync.Mutex
	until time.Time
}

// shut keeps the gate shut for that long from now, and reports whether that is longer
// than it would have been.
func (g *gate) shut(d time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until := g.now().Add(d)
	if !until.After(g.until) {
		return false
	}
	g.until = until
	return true
}

// wait returns when the gate is open, or with the context's error.
func (g *gate) wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		left := g.until.Sub(g.now())
		g.mu.Unlock()
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
