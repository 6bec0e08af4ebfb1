package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/llmtest"
)

// scale is how much the scenario asks for. LLMCTL_TEST_SERVE_FULL=1 makes it as large
// as the promise says.
type scale struct {
	listeners, reloads, resizes, runsEach int
}

func scaleOf() scale {
	if os.Getenv("LLMCTL_TEST_SERVE_FULL") == "1" {
		return scale{listeners: 1000, reloads: 20, resizes: 20, runsEach: 60}
	}
	return scale{listeners: 100, reloads: 4, resizes: 4, runsEach: 12}
}

const charts = 20

// scene is a stack under load with listeners.
type scene struct {
	*stack
	charts    []int64
	listeners []*listener
	load      *load
	slow      *load
	started   sync.Map // run id -> index of its flowchart
	runs      atomic.Int64
	leave     context.CancelFunc
	following sync.WaitGroup
}

func newScene(t *testing.T, n int, env map[string]string) *scene {
	t.Helper()
	llm := llmtest.New(t)
	s := &scene{stack: newStack(t, env)}
	s.signIn()
	s.works()
	for range charts {
		s.charts = append(s.charts, s.flowchart(llm.OpenAIURL()))
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.leave = cancel
	t.Cleanup(func() { cancel(); s.following.Wait() })
	for i := range n {
		l := newListener(s.address, fmt.Sprintf("flowchart:%d", s.charts[i%charts]), s.key)
		s.listeners = append(s.listeners, l)
		s.following.Go(func() { l.run(ctx) })
	}
	deadline := time.After(patience)
	for i, l := range s.listeners {
		select {
		case <-l.ready:
		case <-deadline:
			l.mu.Lock()
			t.Fatalf("client %d is not subscribed: %v", i, l.failures)
		}
	}
	path := fmt.Sprintf("/api/flowcharts/%d", s.charts[0])
	s.load = startLoad(s.address, path, s.key, 4, 0)
	s.slow = startLoad(s.address, path, s.key, 8, 3*time.Millisecond)
	return s
}

// feed starts runs of all flowcharts, one after the other, until it has started so
// many of each and stop is closed.
func (s *scene) feed(each int, pauses time.Duration, stop <-chan struct{}) error {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-time.After(pauses):
		}
		if n >= each*charts {
			continue
		}
		status, raw, err := s.request("POST", fmt.Sprintf("/api/flowcharts/%d/runs", s.charts[n%charts]), map[string]any{"input": map[string]any{"text": fmt.Sprint("a few words to stream ", n)}})
		if err != nil || status != 202 {
			return fmt.Errorf("start run %d: %d %s %w", n, status, raw, err)
		}
		var body struct {
			Run idBody `json:"flowchart_run"`
		}
		if err := json.Unmarshal(raw, &body); err != nil {
			return err
		}
		s.started.Store(body.Run.ID, n%charts)
		s.runs.Add(1)
	}
}

// finish waits until every run has ended well and every listener has the whole of it.
func (s *scene) finish() (events int64) {
	s.t.Helper()
	s.started.Range(func(id, chart any) bool {
		var body struct {
			Run struct {
				Status string `json:"status"`
			} `json:"flowchart_run"`
			AsOf struct {
				Stream   string `json:"stream"`
				Sequence int64  `json:"sequence"`
			} `json:"as_of"`
		}
		s.eventually(fmt.Sprintf("run %d ends", id), func() bool {
			s.call(200, "GET", fmt.Sprintf("/api/flowchart-runs/%d", id), nil, &body)
			return body.Run.Status == "succeeded" || body.Run.Status == "failed"
		})
		require.Equal(s.t, "succeeded", body.Run.Status)
		for i, l := range s.listeners {
			if i%charts == chart.(int) {
				s.eventually(fmt.Sprintf("client %d has all of %s", i, body.AsOf.Stream), func() bool { return l.has(body.AsOf.Stream) >= body.AsOf.Sequence })
			}
		}
		events += body.AsOf.Sequence
		return true
	})
	return events
}

// judge ends the load and asserts what was promised.
func (s *scene) judge() {
	s.t.Helper()
	events := s.finish()
	s.load.end()
	s.slow.end()
	s.leave()
	s.following.Wait()
	gaps, duplicates, resyncs, connects, most := 0, 0, 0, 0, 0
	var failures []string
	for _, l := range s.listeners {
		gaps += len(l.gaps)
		duplicates += l.duplicates
		resyncs += l.resyncs
		connects += l.connects
		most = max(most, l.connects)
		failures = append(failures, l.failures...)
		require.Empty(s.t, l.gaps)
	}
	for name, l := range map[string]*load{"steady": s.load, "pausing": s.slow} {
		s.t.Logf("%s load: %d requests on %d connections, %d failed", name, l.requests.Load(), l.connections.Load(), l.failures.Load())
		if first := l.first.Load(); first != nil {
			s.t.Errorf("%s load: %s", name, *first)
		}
	}
	s.t.Logf("%d clients: %d connections (at most %d of one), %d gaps, %d duplicates, %d resyncs, %d refused; %d runs with %d events in their streams",
		len(s.listeners), connects, most, gaps, duplicates, resyncs, len(failures), s.runs.Load(), events)
	require.Zero(s.t, s.load.failures.Load()+s.slow.failures.Load())
	require.Zero(s.t, duplicates)
	require.Zero(s.t, resyncs)
	require.Empty(s.t, failures)
	require.Positive(s.t, s.load.requests.Load())
}

func TestReloadsResizesAndUpgradeUnderLoadLoseNothing(t *testing.T) {
	t.Parallel()
	how := scaleOf()
	s := newScene(t, how.listeners, map[string]string{"GUNICORN_KEEPALIVE": "5", "GUNICORN_GRACEFUL_TIMEOUT": "60"})
	stop := make(chan struct{})
	fed := make(chan error, 1)
	go func() { fed <- s.feed(how.runsEach, 100*time.Millisecond, stop) }()

	for range how.reloads {
		old := s.workers()
		s.signal(syscall.SIGHUP)
		s.eventually("other workers serve", func() bool { return fresh(old, s.workers()) })
	}
	for i := range how.resizes {
		if i%2 == 0 {
			s.signal(syscall.SIGTTIN)
			s.eventually("three workers", func() bool { return len(s.workers()) >= 3 })
		} else {
			s.signal(syscall.SIGTTOU)
			s.settle(2)
		}
	}
	s.upgrade()
	close(stop)
	require.NoError(t, <-fed)
	s.judge()
	s.endSuccessor()
}

// fresh: none of the old ones is left, and there are others.
func fresh(old, now []int) bool {
	return len(now) >= 2 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(old, pid) })
}

// upgrade has the master start the binary anew and waits until the old one has gone.
func (s *scene) upgrade() {
	s.t.Helper()
	s.signal(syscall.SIGUSR2)
	require.Equal(s.t, 0, s.ended())
	s.health()
}

// endSuccessor ends the master that took over, and proves that nothing is left.
func (s *scene) endSuccessor() {
	s.t.Helper()
	for _, c := range s.others {
		_ = c.Process.Signal(syscall.SIGTERM)
		require.NoError(s.t, c.Wait())
	}
	s.others = nil
	for _, pid := range s.processes() {
		if len(workers(pid)) > 0 {
			require.NoError(s.t, syscall.Kill(pid, syscall.SIGTERM))
		}
	}
	s.gone()
	left, err := filepath.Glob(s.path("llmctl-serve-*"))
	require.NoError(s.t, err)
	require.Empty(s.t, left, "the folders of private sockets are removed")
}

// A worker that is killed takes its connections with it, but no accepted run and no event.
func TestKilledWorkersLoseNoRunAndNoEvent(t *testing.T) {
	t.Parallel()
	s := newScene(t, 60, nil)
	// Requests on a killed worker fail; that is what this load is not for.
	s.load.end()
	s.slow.end()
	for i := range 6 {
		for n := range charts {
			s.accepted(n)
		}
		w := s.workers()
		victim := w[rand.IntN(len(w))]
		require.NoError(t, syscall.Kill(victim, syscall.SIGKILL))
		s.eventually(fmt.Sprint("another worker, ", i), func() bool { now := s.workers(); return len(now) == 2 && !slices.Contains(now, victim) })
	}
	events := s.finish()
	require.Positive(t, events)
	s.leave()
	s.following.Wait()
	for i, l := range s.listeners {
		require.Empty(t, l.gaps, "client %d", i)
		require.Zero(t, l.duplicates+l.resyncs, "client %d", i)
	}
	s.stop()
}

// accepted starts a run; one whose worker was killed meanwhile was not accepted.
func (s *scene) accepted(chart int) {
	s.t.Helper()
	status, raw, err := s.request("POST", fmt.Sprintf("/api/flowcharts/%d/runs", s.charts[chart]), map[string]any{"input": map[string]any{"text": "x"}})
	if err != nil {
		return
	}
	require.Equal(s.t, 202, status, "%s", raw)
	var body struct {
		Run idBody `json:"flowchart_run"`
	}
	require.NoError(s.t, json.Unmarshal(raw, &body))
	s.started.Store(body.Run.ID, chart)
}
