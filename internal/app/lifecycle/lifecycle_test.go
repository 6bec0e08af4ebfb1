package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/app/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

type service struct {
	name    string
	j       *journal
	fail    error         // before ready
	later   chan error    // after ready
	ignores chan struct{} // stops only when closed
}

func (s *service) Name() string { return s.name }

func (s *service) Run(ctx context.Context, ready func()) error {
	if s.fail != nil {
		return s.fail
	}
	s.j.add("+" + s.name)
	ready()
	defer s.j.add("-" + s.name)
	select {
	case err := <-s.later:
		return err
	case <-ctx.Done():
		if s.ignores != nil {
			<-s.ignores
		}
		return nil
	}
}

func group(services ...lifecycle.Service) *lifecycle.Group {
	return lifecycle.NewGroup(slog.New(slog.DiscardHandler), 50*time.Millisecond, services...)
}

func TestServicesStartInOrderAndStopInReverse(t *testing.T) {
	t.Parallel()
	j := &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	err := group(&service{name: "a", j: j}, &service{name: "b", j: j}).Run(ctx, cancel)
	require.NoError(t, err)
	require.Equal(t, []string{"+a", "+b", "-b", "-a"}, j.lines)
}

func TestFailingStartStopsWhatRuns(t *testing.T) {
	t.Parallel()
	j := &journal{}
	err := group(&service{name: "a", j: j}, &service{name: "b", j: j, fail: errors.New("no port")}, &service{name: "c", j: j}).
		Run(t.Context(), func() { t.Error("not ready") })
	require.ErrorContains(t, err, "b: no port")
	require.Equal(t, []string{"+a", "-a"}, j.lines)
}

func TestServiceThatEndsByItselfEndsTheGroup(t *testing.T) {
	t.Parallel()
	j := &journal{}
	later := make(chan error, 1)
	err := group(&service{name: "a", j: j}, &service{name: "b", j: j, later: later}).Run(t.Context(), func() { later <- nil })
	require.ErrorContains(t, err, "b: ended by itself")
	require.Contains(t, j.lines, "-a")
}

func TestServiceThatDoesNotStopIsNamed(t *testing.T) {
	t.Parallel()
	j := &journal{}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	err := group(&service{name: "a", j: j}, &service{name: "stuck", j: j, ignores: release}).Run(ctx, cancel)
	require.ErrorContains(t, err, "stuck: does not stop")
	require.Contains(t, j.lines, "-a")
	close(release)
}

func TestCancelBeforeReadyStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, group(&service{name: "a", j: &journal{}}).Run(ctx, func() {}))
}
