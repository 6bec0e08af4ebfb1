package serving

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keeper is a client that keeps its connection and forgives nothing: after a request
// was sent, an end of the connection without an answer is a failure, unless the
// answer before it announced the end.
type keeper struct {
	address string
	burst   int                  // requests that are sent at once
	pause   func() time.Duration // between bursts
	conn    net.Conn
	in      *bufio.Reader

	requests, failures, connections *atomic.Int64
	failure                         *atomic.Pointer[string]
	pids                            *sync.Map
}

func (k *keeper) run(stop <-chan struct{}) {
	defer func() {
		if k.conn != nil {
			_ = k.conn.Close()
		}
	}()
	for {
		select {
		case <-stop:
			return
		default:
		}
		if err := k.burstOf(k.burst); err != nil {
			text := fmt.Sprintf("after %d requests on this client: %v", k.requests.Load(), err)
			k.failure.CompareAndSwap(nil, &text)
			k.failures.Add(1)
			k.hangUp()
		}
		if d := k.pause(); d > 0 {
			pause(d)
		}
	}
}

func (k *keeper) hangUp() {
	if k.conn != nil {
		_ = k.conn.Close()
		k.conn = nil
	}
}

// burstOf sends n requests and reads their answers. What was sent after the one whose
// answer ends the connection was not worked, and is sent again.
func (k *keeper) burstOf(n int) error {
	for n > 0 {
		if k.conn == nil {
			c, err := net.DialTimeout("tcp", k.address, patience)
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			k.conn, k.in = c, bufio.NewReader(c)
			k.connections.Add(1)
		}
		_ = k.conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(k.conn, strings.Repeat("GET / HTTP/1.1\r\nHost: x\r\n\r\n", n)); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		closed, answered, err := k.answers(n)
		n -= answered
		if err != nil {
			return err
		}
		if closed {
			k.hangUp()
		}
	}
	return nil
}

func (k *keeper) answers(n int) (closed bool, answered int, err error) {
	for i := range n {
		resp, err := http.ReadResponse(k.in, nil)
		if err != nil {
			return false, i, fmt.Errorf("answer %d of %d: %w", i+1, n, err)
		}
		var a rigAnswer
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			return false, i, fmt.Errorf("body: %w", err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return false, i, fmt.Errorf("rest of body: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return false, i, errors.New(resp.Status)
		}
		k.requests.Add(1)
		k.pids.Store(a.PID, true)
		if resp.Close {
			return true, i + 1, nil
		}
	}
	return false, n, nil
}

// The core promise: whatever a client does, a reload costs it at most a new
// connection, which the answer before it announces.
func TestNoRequestFailsDuringReloads(t *testing.T) {
	t.Parallel()
	reloads := 12
	if os.Getenv("LLMCTL_TEST_RELOADS") == "full" {
		reloads = 50
	}
	r := newRig(t, func(s *rigSettings) { s.Keepalive = 30 * time.Second })
	never := func() time.Duration { return 0 }
	few := func() time.Duration { return time.Millisecond + time.Duration(rand.Int64N(int64(3*time.Millisecond))) }
	kinds := map[string]*keeper{
		"tight": {burst: 1, pause: never}, "pausing": {burst: 1, pause: few},
		"pipelining": {burst: 8, pause: never}, "pipelining and pausing": {burst: 3, pause: few},
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for _, kind := range kinds {
		kind.address, kind.requests, kind.failures, kind.connections = r.set.Bind[0], &atomic.Int64{}, &atomic.Int64{}, &atomic.Int64{}
		kind.failure, kind.pids = &atomic.Pointer[string]{}, &sync.Map{}
		for range 2 {
			k := *kind
			clients.Go(func() { k.run(stop) })
		}
	}
	for i := range reloads {
		old := r.workers()
		r.signal(syscall.SIGHUP)
		r.logged(fmt.Sprintf("generation=%d ", i+2))
		r.eventually("the old workers are gone", func() bool { return disjoint(old, r.workers()) })
	}
	close(stop)
	clients.Wait()
	for name, k := range kinds {
		t.Logf("%s: %d requests on %d connections, %d failed", name, k.requests.Load(), k.connections.Load(), k.failures.Load())
		if failure := k.failure.Load(); failure != nil {
			t.Errorf("%s: %s", name, *failure)
		}
		require.Zero(t, k.failures.Load(), name)
		require.GreaterOrEqual(t, k.connections.Load(), int64(reloads), "the reloads reached these clients")
	}
	r.stop()
}

func disjoint(a, b []int) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(pid int) bool { return slices.Contains(a, pid) })
}

// One keeper of each kind goes on while the number of workers changes, workers are
// recycled and a new master takes over.
func TestNoRequestFailsDuringResizesRecyclingAndUpgrade(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(s *rigSettings) { s.Keepalive, s.MaxRequests = 30*time.Second, 2000 })
	k := &keeper{
		address: r.set.Bind[0], burst: 2, pause: func() time.Duration { return time.Duration(rand.Int64N(int64(2 * time.Millisecond))) },
		requests: &atomic.Int64{}, failures: &atomic.Int64{}, connections: &atomic.Int64{}, failure: &atomic.Pointer[string]{}, pids: &sync.Map{},
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		c := *k
		clients.Go(func() { c.run(stop) })
	}
	for range 5 {
		r.signal(syscall.SIGTTIN)
		r.eventually("three workers", func() bool { return len(r.workers()) >= 3 })
		r.signal(syscall.SIGTTOU)
		r.eventually("two workers", func() bool { return len(r.workers()) == 2 })
	}
	r.logged("reason=max_requests", 3)
	r.upgradeTo(r.newer())
	r.signal(syscall.SIGUSR2)
	master := r.successor()
	close(stop)
	clients.Wait()
	t.Logf("%d requests on %d connections", k.requests.Load(), k.connections.Load())
	if failure := k.failure.Load(); failure != nil {
		t.Errorf("%s", *failure)
	}
	require.Zero(t, k.failures.Load())
	require.NoError(t, syscall.Kill(master, syscall.SIGTERM))
	r.gone()
}
