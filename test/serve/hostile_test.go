package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bystander asks again and again while others misbehave, and tells the longest that
// it had to wait.
type bystander struct {
	longest atomic.Int64
	stop    chan struct{}
	done    sync.WaitGroup
	failure atomic.Pointer[string]
	count   atomic.Int64
}

func (s *stack) bystander() *bystander {
	b := &bystander{stop: make(chan struct{})}
	b.done.Go(func() {
		for {
			select {
			case <-b.stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began := time.Now()
			status, raw, err := s.request("GET", "/api/flowcharts", nil)
			if err != nil || status != 200 {
				text := fmt.Sprintf("%d %s %v", status, raw, err)
				b.failure.CompareAndSwap(nil, &text)
			}
			b.longest.Store(max(b.longest.Load(), int64(time.Since(began))))
			b.count.Add(1)
		}
	})
	return b
}

// wasServed ends the bystander and asserts that it was served as ever.
func (b *bystander) wasServed(t *testing.T) {
	t.Helper()
	close(b.stop)
	b.done.Wait()
	if text := b.failure.Load(); text != nil {
		t.Errorf("a bystander was not served: %s", *text)
	}
	longest := time.Duration(b.longest.Load())
	t.Logf("bystander: %d requests, the longest took %s", b.count.Load(), longest)
	require.Positive(t, b.count.Load())
	// Far above what it takes, even where many tests share the machine, and far below
	// what the attackers would make it without bounds.
	require.Less(t, longest, 8*time.Second)
}

// highWater is the most memory that a process ever held.
func highWater(t *testing.T, pid int) uint64 {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	require.NoError(t, err)
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			require.NoError(t, err)
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// bounded runs f, and asserts that no worker's memory grew by more than so much while
// it ran, nor was replaced.
func (s *stack) bounded(most uint64, f func()) {
	s.t.Helper()
	pids := s.workers()
	before := map[int]uint64{}
	for _, pid := range pids {
		before[pid] = highWater(s.t, pid)
	}
	f()
	require.Equal(s.t, pids, s.workers(), "the workers are the same")
	for _, pid := range pids {
		grown := highWater(s.t, pid) - before[pid]
		s.t.Logf("worker %d grew by %.1f MiB; allowed are %d MiB", pid, float64(grown)/(1<<20), most>>20)
		require.LessOrEqual(s.t, grown, most)
	}
}

// descriptors skips where the account may not open enough files.
func descriptors(t *testing.T, need uint64) {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < need {
		t.Skipf("%d open files are allowed; %d are needed", limit.Cur, need)
	}
}

// A peer that vanished looks to the server like one that says nothing.
func TestDrippedHeadersAndSilentConnectionsAreCutOff(t *testing.T) {
	t.Parallel()
	const attackers = 600
	descriptors(t, attackers+500)
	s := newStack(t, nil)
	s.signIn()
	b := s.bystander()
	// What a connection without a request costs: a goroutine's stack, a read buffer and
	// the kernel's; 64 KiB are several times that. The slack is for the bystander.
	s.bounded(attackers*64<<10+48<<20, func() {
		var clients sync.WaitGroup
		var early, late atomic.Int64
		for i := range attackers {
			clients.Go(func() {
				took, err := attack(s.address, i%2 == 0)
				if err != nil {
					t.Errorf("attacker: %v", err)
				}
				if took < 8*time.Second {
					early.Add(1)
				}
				if took > 40*time.Second {
					late.Add(1)
				}
			})
		}
		clients.Wait()
		require.Zero(t, early.Load(), "slow is not yet hostile: ten seconds are given for a header")
		require.Zero(t, late.Load(), "then the connection is ended")
	})
	b.wasServed(t)
	s.stop()
}

// attack sends a header byte by byte, or nothing at all, and tells how long the server
// put up with it.
func attack(address string, drip bool) (time.Duration, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	began := time.Now()
	_ = c.SetDeadline(began.Add(patience))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, c)
	}()
	if drip {
		_, _ = io.WriteString(c, "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	}
	for {
		select {
		case <-ended:
			return time.Since(began), nil
		case <-time.After(500 * time.Millisecond):
			if drip {
				_, _ = io.WriteString(c, "a")
			}
		}
	}
}

func TestTenThousandIdleConnectionsLeaveOthersServed(t *testing.T) {
	t.Parallel()
	const idle = 10_000
	descriptors(t, idle+2000)
	s := newStack(t, map[string]string{"GUNICORN_KEEPALIVE": "300", "GUNICORN_GRACEFUL_TIMEOUT": "5"})
	s.signIn()
	var mu sync.Mutex
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	// An idle connection keeps its goroutine (8 KiB of stack), a read and a write buffer
	// of 4 KiB each and its bookkeeping: 40 KiB are twice that. A worker may get more
	// than its half of them.
	s.bounded(idle*40<<10+64<<20, func() {
		var clients sync.WaitGroup
		todo := make(chan struct{}, idle)
		for range idle {
			todo <- struct{}{}
		}
		close(todo)
		for range 32 {
			clients.Go(func() {
				for range todo {
					c, err := oneRequest(s.address)
					if err != nil {
						t.Errorf("client: %v", err)
						continue
					}
					mu.Lock()
					open = append(open, c)
					mu.Unlock()
				}
			})
		}
		clients.Wait()
		require.Len(t, open, idle)
		b := s.bystander()
		for b.count.Load() < 30 && b.failure.Load() == nil {
			pause(look)
		}
		b.wasServed(t)
	})
	// They are all still there, and good for another request.
	for i := 0; i < idle; i += 100 {
		_, err := again(open[i])
		require.NoError(t, err)
	}
	s.stop() // the graceful time-out bounds how long they are waited for
}

func oneRequest(address string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return again(c)
}

func again(c net.Conn) (net.Conn, error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, getHealth); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return c, err
}

func TestOversizedHeadersAreRefused(t *testing.T) {
	t.Parallel()
	const attackers = 200
	s := newStack(t, nil)
	s.signIn()
	b := s.bystander()
	// At most 64 KiB of a header are read (and 4 KiB of slack); the text and the parsed
	// header may both be there, until the collector runs: four times that.
	s.bounded(attackers*4*68<<10+48<<20, func() {
		var clients sync.WaitGroup
		for range attackers {
			clients.Go(func() {
				status, err := flood(s.address, "GET /api/health HTTP/1.1\r\nHost: x\r\nX-Big: ", 4<<20)
				if err == nil && status != http.StatusRequestHeaderFieldsTooLarge {
					t.Errorf("status %d", status)
				}
			})
		}
		clients.Wait()
	})
	b.wasServed(t)
	s.stop()
}

func TestOversizedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	const attackers = 40
	s := newStack(t, nil)
	s.signIn()
	b := s.bystander()
	// A body of this kind may have 8 MiB at most; nobody's is read beyond it. A buffer
	// that grows doubles, and while it does the old one is there too: three times that.
	s.bounded(attackers*3*8<<20, func() {
		var clients sync.WaitGroup
		var refused atomic.Int64
		for i := range attackers {
			clients.Go(func() {
				length := "Content-Length: 68719476736"
				if i%2 == 0 {
					length = "Transfer-Encoding: chunked"
				}
				head := "POST /api/flowcharts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + s.key + "\r\n" + length + "\r\n\r\n"
				if i%2 == 0 {
					head += "40000000\r\n"
				}
				status, err := flood(s.address, head+`{"name":"`, 64<<20)
				switch {
				case err == nil && status == http.StatusRequestEntityTooLarge:
					refused.Add(1)
				case err == nil:
					t.Errorf("status %d", status)
				}
			})
		}
		clients.Wait()
		t.Logf("%d of %d saw the refusal; the others were cut off while they sent", refused.Load(), attackers)
		require.Positive(t, refused.Load())
	})
	b.wasServed(t)
	s.stop()
}

// flood sends a beginning and then as much more as the server takes, and reads its answer.
func flood(address, head string, most int) (int, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(patience))
	go func() {
		if _, err := io.WriteString(c, head); err != nil {
			return
		}
		block := []byte(strings.Repeat("a", 64<<10))
		for sent := 0; sent < most; sent += len(block) {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return -1, nil // not refused in time: the caller's failure
		}
		return 0, err
	}
	return resp.StatusCode, nil
}
