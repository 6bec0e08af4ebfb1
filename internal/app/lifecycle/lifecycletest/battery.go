// Package lifecycletest holds the cases that every lifecycle.Service must pass.
package lifecycletest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app/lifecycle"
)

// patience is how long a service may take to become ready or to end. It only
// passes when something hangs.
const patience = 30 * time.Second

// Battery runs a service, made anew by newService for each case, through start and
// stop. The service must become ready by itself.
func Battery(t *testing.T, newService func() lifecycle.Service) {
	t.Helper()
	t.Run("has a name", func(t *testing.T) {
		t.Parallel()
		require.NotEmpty(t, newService().Name())
	})
	t.Run("stops when it was stopped before its start", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		requirePlanned(t, wait(t, run(ctx, newService(), func() {})))
	})
	t.Run("becomes ready once and stops", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(lifecycle.ErrStop)
		var calls atomic.Int32
		ended := run(ctx, newService(), func() {
			calls.Add(1)
			cancel(lifecycle.ErrStop)
		})
		requirePlanned(t, wait(t, ended))
		require.EqualValues(t, 1, calls.Load(), "calls of ready")
	})
	t.Run("runs again in a new instance", func(t *testing.T) {
		t.Parallel()
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			requirePlanned(t, wait(t, run(ctx, newService(), cancel)))
		}
	})
}

func run(ctx context.Context, s lifecycle.Service, ready func()) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, ready) }()
	return ended
}

func wait(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(patience):
		require.Fail(t, "the service does not end")
		return nil
	}
}

// requirePlanned accepts what a stopped service may return.
func requirePlanned(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		require.True(t, isPlanned(err), "unexpected error after a planned stop: %v", err)
	}
}

func isPlanned(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, lifecycle.ErrStop)
}
