package chaos

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/kubetest"
)

const (
	harmEvery = 1500 * time.Millisecond
	workers   = 3
)

// Runs whose nodes are Jobs come in while workers, web workers and the API server of
// the cluster are killed and frozen.
func TestNodesInPodsOutliveEverythingAroundThem(t *testing.T) { //nolint:paralleltest // it harms the cluster
	c := kubetest.Rig(t, "its API server can be killed")
	z, l := chaosSize(), newLedger(t, c)
	s := newStudio(t, c, c.HostAddress(t), workers)
	chart := s.flowchart(l)
	begun := time.Now()
	harms, ids := s.harass(chart, z)
	c.AwaitAPI(t)
	s.allEnded(ids, z)
	worked := time.Since(begun)
	s.allRight(ids)
	s.onceEach(ids, l)
	s.noneLost()
	s.streamsWhole()
	clean := s.nothingLeft()
	t.Logf("%d runs in %s: all succeeded, %d nodes in pods, each once; harms: %v; adopted attempts: %d; from dispatch to start p50 %s, at most %s; last Job gone %s later",
		len(ids), worked.Round(time.Second), 2*len(ids), harms, s.adopted(), s.startDelay(0.5), s.startDelay(1), clean.Round(time.Second))
}

// harms are the kinds of harm, by how often they were done.
type harms map[string]int

// harass harms something again and again while runs come in; each kind of harm is done
// at least once.
func (s *studio) harass(chart int64, z size) (harms, []int64) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	type outcome struct {
		ids []int64
		err error
	}
	loaded := make(chan outcome, 1)
	go func() {
		ids, err := s.load(ctx, chart, z)
		loaded <- outcome{ids, err}
	}()
	var thaws sync.WaitGroup
	defer thaws.Wait()
	kinds := map[string]func() bool{
		"worker killed": s.killWorker, "worker frozen": func() bool { return s.freezeWorker(&thaws) },
		"web worker killed": s.killWebWorker, "API server killed": s.killAPIServer(z.outages),
	}
	names := []string{"worker killed", "worker frozen", "web worker killed", "API server killed"}
	done := harms{}
	ticker := time.NewTicker(harmEvery)
	defer ticker.Stop()
	for {
		select {
		case o := <-loaded:
			require.NoError(s.t, o.err)
			require.Len(s.t, o.ids, z.runs)
			for _, name := range names {
				require.Positive(s.t, done[name], "%s: %v", name, done)
			}
			return maps.Clone(done), o.ids
		case <-ticker.C:
		}
		name := names[rand.IntN(len(names))]
		for _, n := range names { // what was not done yet comes first
			if done[n] == 0 {
				name = n
				break
			}
		}
		if kinds[name]() {
			done[name]++
		}
	}
}

func (s *studio) killWorker() bool {
	s.workers[rand.IntN(len(s.workers))].Signal(syscall.SIGKILL)
	return true
}

// freezeWorker stops a worker unless it would be the last; some go on before anybody
// has noticed, some long after they were given up.
func (s *studio) freezeWorker(thaws *sync.WaitGroup) bool {
	awake := 0
	for _, w := range s.workers {
		if !w.Frozen() {
			awake++
		}
	}
	victim := s.workers[rand.IntN(len(s.workers))]
	if awake < 2 || victim.Frozen() {
		return false
	}
	victim.Signal(syscall.SIGSTOP)
	thaw := time.Duration(1000+rand.IntN(14_000)) * time.Millisecond
	thaws.Go(func() {
		<-time.After(thaw)
		victim.Signal(syscall.SIGCONT)
	})
	return true
}

func (s *studio) killWebWorker() bool {
	pids := s.web.Children()
	if len(pids) == 0 {
		return false
	}
	return syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL) == nil
}

// killAPIServer gives what kills it and starts it again after a while, for so many times.
func (s *studio) killAPIServer(times int) func() bool {
	api := s.cluster.Daemon(s.t, "apiserver")
	return func() bool {
		if times == 0 {
			return false
		}
		times--
		s.cluster.AwaitAPI(s.t) // from the last time
		api.Kill(s.t)
		<-time.After(time.Duration(500+rand.IntN(4000)) * time.Millisecond)
		api.Start(s.t)
		return true
	}
}

// startDelay is how long pods took to start, at a quantile.
func (s *studio) startDelay(q float64) time.Duration {
	s.t.Helper()
	var seconds float64
	require.NoError(s.t, s.db.QueryRow(s.t.Context(), fmt.Sprintf(`
		SELECT percentile_cont(%f) WITHIN GROUP (ORDER BY extract(epoch FROM confirmed_at - dispatched_at))
		FROM node_attempt WHERE confirmed_at IS NOT NULL`, q)).Scan(&seconds))
	return time.Duration(seconds * float64(time.Second)).Round(100 * time.Millisecond)
}
