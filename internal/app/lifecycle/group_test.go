package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/app/lifecycle/lifecycletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errBroken = errors.New("broken")

// journal notes what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

// good is a service that works until it is stopped.
func (j *journal) good(name string) lifecycle.Service {
	return lifecycle.Func(name, func(ctx context.Context, ready func()) error {
		j.note("+" + name)
		ready()
		ready() // twice does no harm
		<-ctx.Done()
		j.note("-" + name)
		return ctx.Err()
	})
}

func group(services ...lifecycle.Service) *lifecycle.Group {
	return lifecycle.New("test", lifecycle.Options{
		StartTimeout: 10 * time.Second, StopTimeout: 20 * time.Second, Logger: slog.New(slog.DiscardHandler),
	}, services...)
}

func TestStartsInOrderAndStopsInReverse(t *testing.T) {
	t.Parallel()
	j := &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	err := group(j.good("a"), j.good("b"), j.good("c")).Run(ctx, func() {
		j.note("ready")
		cancel()
	})
	require.NoError(t, err)
	require.Equal(t, []string{"+a", "+b", "+c", "ready", "-c", "-b", "-a"}, j.lines)
}

func TestGroupIsAServiceLikeAnyOther(t *testing.T) {
	t.Parallel()
	lifecycletest.Battery(t, func() lifecycle.Service {
		j := &journal{}
		return group(j.good("a"), group(j.good("b"), j.good("c")))
	})
}

func TestFailureStopsTheRest(t *testing.T) {
	t.Parallel()
	j := &journal{}
	fail := make(chan struct{})
	bad := lifecycle.Func("bad", func(_ context.Context, ready func()) error {
		ready()
		<-fail
		return errBroken
	})
	err := group(j.good("a"), bad, j.good("c")).Run(t.Context(), func() { close(fail) })
	require.ErrorIs(t, err, errBroken)
	require.EqualError(t, err, "bad: broken")
	require.Equal(t, []string{"+a", "+c", "-c", "-a"}, j.lines)
}

func TestFailedStartStopsWhatWasStarted(t *testing.T) {
	t.Parallel()
	j := &journal{}
	bad := lifecycle.Func("bad", func(context.Context, func()) error { return errBroken })
	err := group(j.good("a"), bad, j.good("never")).Run(t.Context(), func() { j.note("ready") })
	require.ErrorIs(t, err, errBroken)
	require.Equal(t, []string{"+a", "-a"}, j.lines)
}

func TestEndWithoutAnErrorIsAFailure(t *testing.T) {
	t.Parallel()
	quits := lifecycle.Func("quits", func(_ context.Context, ready func()) error {
		ready()
		return nil
	})
	require.ErrorIs(t, group(quits).Run(t.Context(), func() {}), lifecycle.ErrEnded)
}

func TestPanicStopsTheRestInOrder(t *testing.T) {
	t.Parallel()
	j := &journal{}
	bad := lifecycle.Func("bad", func(context.Context, func()) error { panic("oops") })
	err := group(j.good("a"), bad).Run(t.Context(), func() {})
	require.ErrorContains(t, err, "bad: panic: oops")
	require.Equal(t, []string{"+a", "-a"}, j.lines)
}

func TestCauseTellsAPlannedStop(t *testing.T) {
	t.Parallel()
	var cause error
	s := lifecycle.Func("s", func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		cause = context.Cause(ctx)
		return cause
	})
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, group(s).Run(ctx, cancel))
	require.ErrorIs(t, cause, lifecycle.ErrStop)
}

func TestErrorWhileStoppingIsReported(t *testing.T) {
	t.Parallel()
	s := lifecycle.Func("s", func(ctx context.Context, ready func()) error {
		ready()
		<-ctx.Done()
		return errBroken
	})
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, group(s).Run(ctx, cancel), errBroken)
}

func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	j := &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	slow := lifecycle.Func("slow", func(ctx context.Context, _ func()) error {
		cancel()
		<-ctx.Done()
		j.note("-slow")
		return nil
	})
	err := group(j.good("a"), slow, j.good("never")).Run(ctx, func() { j.note("ready") })
	require.NoError(t, err)
	require.Equal(t, []string{"+a", "-slow", "-a"}, j.lines)
}

func TestStartTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := lifecycle.Func("slow", func(ctx context.Context, _ func()) error {
			<-ctx.Done()
			return ctx.Err()
		})
		began := time.Now()
		require.EqualError(t, group(slow).Run(t.Context(), func() {}), "slow: not ready after 10s")
		require.Equal(t, 10*time.Second, time.Since(began))
	})
}

func TestStopDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		release := make(chan struct{})
		stuck := lifecycle.Func("stuck", func(_ context.Context, ready func()) error {
			ready()
			<-release
			return nil
		})
		late := lifecycle.Func("late", func(ctx context.Context, ready func()) error {
			ready()
			<-ctx.Done()
			time.Sleep(21 * time.Second) //nolint:forbidigo // the bubble's clock
			return nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		err := group(j.good("a"), stuck, late).Run(ctx, cancel)
		require.ErrorIs(t, err, lifecycle.ErrDeadline)
		require.ErrorContains(t, err, ": stuck did not end")
		require.Equal(t, 22*time.Second, time.Since(began))
		require.Equal(t, []string{"+a", "-a"}, j.lines, "the rest is still told to stop")
		close(release)
	})
}
