package realtime

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	orderWorkers = 3
	orderClients = 20 // at each worker
	orderEvents  = 3000
	orderRoom    = "flowchart_run:1"
)

// BenchmarkOrder publishes to one room through several workers in turn, each event
// after the one before was taken, and counts the deliveries that come after a later
// event. Node's workers share a Redis server, ours a database.
func BenchmarkOrder(b *testing.B) {
	b.Run("ours", func(b *testing.B) {
		uri := pgtest.URI(b)
		program := build(b, "../peers/hub", filepath.Join(b.TempDir(), "hub"))
		measureOrder(b, hub{}, func(address string) *process { return start(b, "", nil, program, address, uri) })
	})
	b.Run("node", func(b *testing.B) {
		if !available(b, "node") || !available(b, "redis-server") {
			b.Skip("needs Node and Redis")
		}
		redis := free(b)
		_, port, err := net.SplitHostPort(redis)
		require.NoError(b, err)
		start(b, b.TempDir(), nil, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
		require.Eventually(b, func() bool {
			return exec.CommandContext(b.Context(), "redis-cli", "-p", port, "ping").Run() == nil
		}, 10*time.Second, 50*time.Millisecond)
		installNode(b)
		measureOrder(b, socketIO{}, func(address string) *process {
			return start(b, nodeDir, nil, "node", "server.js", address, "redis://"+redis)
		})
	})
}

// watch is what one client saw.
type watch struct {
	last      int64
	got, late atomic.Int64 // events, and those after a later one
}

func measureOrder(b *testing.B, w wire, launch func(address string) *process) {
	b.Helper()
	var workers []*contestant
	for range orderWorkers {
		c := &contestant{name: "worker", wire: w, address: free(b)}
		c.process = launch(c.address)
		workers = append(workers, c)
	}
	var watches []*watch
	var listening sync.WaitGroup
	var publishers []*client
	for _, worker := range workers {
		worker.ready(b)
		for range orderClients {
			one, err := dial(b.Context(), worker.address, w, orderRoom)
			require.NoError(b, err)
			seen := &watch{last: -1}
			watches = append(watches, seen)
			listening.Go(func() { seen.listen(one) })
			defer func() { _ = one.conn.Close() }()
		}
		p, err := dial(b.Context(), worker.address, w, "")
		require.NoError(b, err)
		defer func() { _ = p.conn.Close() }()
		publishers = append(publishers, p)
	}
	before := time.Duration(0)
	for _, worker := range workers {
		before += worker.process.cpu(b)
	}
	began := time.Now()
	for b.Loop() {
		for n := range orderEvents {
			o := order{Room: orderRoom, Count: 1, First: int64(n)}
			p := publishers[n%len(publishers)]
			require.NoError(b, p.write(ws.OpText, fmt.Appendf(nil, `420["publish",%s]`, o)))
			require.NoError(b, p.expect("430["))
		}
	}
	took := time.Since(began)
	total, late := int64(0), int64(0)
	want := int64(len(watches) * orderEvents)
	require.Eventually(b, func() bool {
		total, late = 0, 0
		for _, one := range watches {
			total += one.got.Load()
			late += one.late.Load()
		}
		return total >= want
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(b, want, total, "each event once")
	after := time.Duration(0)
	for _, worker := range workers {
		after += worker.process.cpu(b)
	}
	b.ReportMetric(100*float64(late)/float64(total), "%-overtaken")
	b.ReportMetric(orderEvents/took.Seconds(), "events/s")
	b.ReportMetric((after-before).Seconds()/float64(total)*1e6, "cpu-s/M")
}

func (s *watch) listen(c *client) {
	for {
		frame, err := c.next()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.got.Add(-1 << 40) // makes the count wrong for good
			}
			return
		}
		numbers(frame, sequenceMark, func(n int64) {
			if n < s.last {
				s.late.Add(1)
			}
			s.last = max(s.last, n)
			s.got.Add(1)
		})
	}
}
