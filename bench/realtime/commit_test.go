package realtime

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	commitClients = 100
	commitPace    = 50 // events a second
	commitLasts   = 30 * time.Second
	commitWarmup  = 50 // events that are not counted
	commitStream  = "flowchart_run:1"
)

// arrival is an event at a client.
type arrival struct {
	sequence int64
	at       time.Duration
}

// listener is a client that writes down when events arrive.
type listener struct {
	client   *client
	arrivals []arrival
	got      atomic.Int64
	fault    error
}

func (l *listener) listen(begun time.Time) {
	for {
		frame, err := l.client.next()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				l.fault = err
			}
			return
		}
		at := time.Since(begun)
		numbers(frame, sequenceMark, func(n int64) {
			l.arrivals = append(l.arrivals, arrival{sequence: n, at: at})
			l.got.Add(1)
		})
	}
}

// commits are when the event of each number was appended, before its transaction
// began, and when its commit was reported.
type commits struct{ begun, done []time.Duration }

// BenchmarkCommit has 100 clients of llmctl serve in one room hear of 50 events a
// second, each committed to disk in a transaction of its own: 5000 deliveries a second.
// It tells how long after its commit an event is at a client, and how long after the
// transaction began.
func BenchmarkCommit(b *testing.B) {
	for _, workers := range []int{2, 4} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s, internal := startStudio(b, workers)
			for _, setting := range []string{"fsync", "synchronous_commit"} {
				var value string
				require.NoError(b, s.db.QueryRow(b.Context(), "SELECT current_setting($1)", setting).Scan(&value))
				require.Equal(b, "on", value, "%s; use llmctl db with-test --durable", setting)
			}
			for b.Loop() {
				wait := s.profile(b, internal, commitLasts)
				measureCommits(b, s)
				wait()
			}
		})
	}
}

func measureCommits(b *testing.B, s *studio) {
	b.Helper()
	begun := time.Now()
	listeners := make([]*listener, commitClients)
	var listening sync.WaitGroup
	for i := range listeners {
		one, err := dial(b.Context(), s.address, studioWire{key: s.key}, "all")
		require.NoError(b, err)
		listeners[i] = &listener{client: one}
		listening.Go(func() { listeners[i].listen(begun) })
	}
	before := s.process.cpu(b)
	c := s.commitAtPace(b, begun)
	for _, l := range listeners {
		require.Eventually(b, func() bool { return l.got.Load() >= int64(len(c.done)) }, answerWait, 10*time.Millisecond)
	}
	spent := s.process.cpu(b) - before
	for _, l := range listeners {
		_ = l.client.conn.Close()
	}
	listening.Wait()
	report(b, listeners, c)
	b.ReportMetric(spent.Seconds()/float64(len(listeners)*len(c.done))*1e6, "cpu-s/M")
}

func (s *studio) commitAtPace(b *testing.B, begun time.Time) commits {
	b.Helper()
	var c commits
	ticker := time.NewTicker(time.Second / commitPace)
	defer ticker.Stop()
	for range commitWarmup + int(commitLasts.Seconds()*commitPace) {
		<-ticker.C
		since := time.Since(begun)
		s.append(b, commitStream, order{Count: 1, Stamp: int64(since)})
		c.begun, c.done = append(c.begun, since), append(c.done, time.Since(begun))
	}
	return c
}

// report checks that each client got each event once and in order, and sums up.
func report(b *testing.B, listeners []*listener, c commits) {
	b.Helper()
	var fromBegin, fromCommit, commit []time.Duration
	for _, l := range listeners {
		require.NoError(b, l.fault)
		require.Len(b, l.arrivals, len(c.done))
		first := l.arrivals[0].sequence
		for n, a := range l.arrivals {
			require.Equal(b, first+int64(n), a.sequence, "each event once and in order")
			if n >= commitWarmup {
				fromBegin = append(fromBegin, a.at-c.begun[n])
				fromCommit = append(fromCommit, max(0, a.at-c.done[n]))
			}
		}
	}
	for n := commitWarmup; n < len(c.done); n++ {
		commit = append(commit, c.done[n]-c.begun[n])
	}
	for _, f := range []struct {
		name string
		list []time.Duration
	}{{"commit", commit}, {"after-commit", fromCommit}, {"with-commit", fromBegin}} {
		list := sorted(f.list)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(percentile(list, p).Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", f.name, p))
		}
		b.Logf("%-13s p50 %v  p90 %v  p99 %v  max %v", f.name, percentile(list, 50), percentile(list, 90), percentile(list, 99), list[len(list)-1])
	}
}
