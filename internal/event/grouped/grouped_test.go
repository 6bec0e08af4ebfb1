package grouped_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event/grouped"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// counter is a source of numbers.
type counter struct {
	mu      sync.Mutex
	pending []int
}

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, n)
}

// Take implements grouped.Source.
func (c *counter) Take() ([]int, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.pending
	c.pending = nil
	return out, len(out) > 0, nil
}

// Written implements grouped.Source.
func (c *counter) Written() {}

// GiveBack implements grouped.Source.
func (c *counter) GiveBack(b []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(b, c.pending...)
}

func TestWhatIsReportedIsWrittenTogetherInOrderAndAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	for _, eager := range []bool{true, false} {
		var mu sync.Mutex
		written, fail := map[int][]int{}, true
		done := make(chan struct{})
		const sources, each = 5, 40
		all := [sources]*counter{}
		g := grouped.New[*counter](grouped.Options[[]int]{
			Name: "test", DB: pgtest.DB(t), Eager: eager, Logger: slog.New(slog.DiscardHandler),
			Write: func(_ context.Context, _ *postgres.Tx, all [][]int) error {
				mu.Lock()
				defer mu.Unlock()
				if fail = !fail; !fail {
					return errors.New("every other round fails")
				}
				total := 0
				for _, b := range all {
					written[b[0]/1000] = append(written[b[0]/1000], b...)
				}
				for _, w := range written {
					total += len(w)
				}
				if total == sources*each {
					close(done)
				}
				return nil
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.Run(ctx, func() {}) }()
		for i := range each {
			for s := range sources {
				if i == 0 {
					all[s] = &counter{}
				}
				all[s].add(s*1000 + i)
				g.Touch(all[s])
			}
		}
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			require.Fail(t, "not everything was written")
		}
		stop()
		require.NoError(t, <-ended)
		for s, w := range written {
			require.Len(t, w, each)
			require.True(t, slices.IsSorted(w), "source %d", s)
		}
	}
}
