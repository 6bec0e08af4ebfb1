package replicas

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// size is how large the crowd is and how long it is disturbed; LLMCTL_TEST_CROWD=full
// makes it what the promise says.
type size struct {
	processes, clients, streams int
	pause                       time.Duration // between two events
	harmEvery, lasts            time.Duration
}

func crowdSize() size {
	if os.Getenv("LLMCTL_TEST_CROWD") == "full" {
		return size{processes: 4, clients: 50, streams: 20, pause: 20 * time.Millisecond, harmEvery: 4 * time.Second, lasts: 5 * time.Minute}
	}
	return size{processes: 2, clients: 9, streams: 4, pause: 40 * time.Millisecond, harmEvery: 2500 * time.Millisecond, lasts: 15 * time.Second}
}

// crowd is a process with many official clients.
type crowd struct {
	end   io.Closer
	lines *bufio.Scanner
}

// verdict is what a crowd says at the end.
type verdict struct {
	Clients, Events, Breaks, Resyncs, Doubled, Disorder, Missing, Different int
	First                                                                   string
}

func gather(t *testing.T, base, key string, clients int, streams []string) *crowd {
	t.Helper()
	node, err := exec.LookPath("node")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), node, append([]string{"crowd.mjs", base, key, strconv.Itoa(clients)}, streams...)...)
	cmd.Dir, err = filepath.Abs("../socketio")
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	c := &crowd{}
	c.end, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = c.end.Close()
		_ = cmd.Wait()
	})
	c.lines = bufio.NewScanner(out)
	c.lines.Buffer(nil, 1<<20)
	return c
}

func (c *crowd) next(t *testing.T) string {
	t.Helper()
	require.True(t, c.lines.Scan(), "the clients ended early: %v", c.lines.Err())
	return c.lines.Text()
}

// A crowd of official clients, a third of them on each transport setting, listens to
// four workers of one master while workers and Redis are killed, frozen and emptied.
// In the end each client's log is the stored one.
func TestACrowdHearsExactlyWhatIsStored(t *testing.T) {
	t.Parallel()
	n := crowdSize()
	redis := redistest.Start(t)
	r := serve(t, pgtest.URI(t), "GUNICORN_WORKERS=4", "LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE="+redis.URL())
	base := "http://" + r.address
	admin := signIn(t, base)
	key := admin.newKey()
	charts := make([]int64, n.streams)
	streams := make([]string, n.streams)
	for i := range charts {
		var made struct {
			ID int64 `json:"id"`
		}
		admin.call(http.StatusCreated, http.MethodPost, "/api/flowcharts", fmt.Sprintf(`{"name":"crowd %d"}`, i), &made)
		charts[i], streams[i] = made.ID, fmt.Sprintf("flowchart:%d", made.ID)
	}
	crowds := make([]*crowd, n.processes)
	for i := range crowds {
		crowds[i] = gather(t, base, key, n.clients, streams)
	}
	for _, c := range crowds {
		require.Equal(t, "ready", c.next(t))
	}

	ctx, stop := context.WithTimeout(t.Context(), n.lasts)
	defer stop()
	written := make(chan int)
	go func() { written <- scribble(ctx, base, key, charts, n.pause) }()
	harms := disturb(ctx, t, r, redis, n.harmEvery)
	events := <-written
	require.Eventually(t, func() bool { // the last one killed is back
		status, _ := admin.get("/api/health")
		return status == http.StatusOK && len(children(r.cmd.Process.Pid)) == 4
	}, patience, 50*time.Millisecond)
	var sum verdict
	for _, c := range crowds {
		require.NoError(t, c.end.Close())
	}
	for _, c := range crowds {
		var v verdict
		require.NoError(t, json.Unmarshal([]byte(c.next(t)), &v))
		require.Zero(t, v.Missing+v.Doubled+v.Disorder+v.Different+v.Resyncs, "%+v", v)
		sum.Clients, sum.Events, sum.Breaks = sum.Clients+v.Clients, sum.Events+v.Events, sum.Breaks+v.Breaks
	}
	require.Positive(t, sum.Breaks, "nobody was disturbed")
	t.Logf("%d clients heard %d events of %d written, over %d broken connections; harms: %v", sum.Clients, sum.Events, events, sum.Breaks, harms)
}

// scribble makes events until ctx ends and gives how many were accepted. A request
// whose worker is killed fails; whether its event exists is what the log says.
func scribble(ctx context.Context, base, key string, charts []int64, pause time.Duration) int {
	client := &http.Client{Timeout: 10 * time.Second}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	accepted := 0
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return accepted
		case <-ticker.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPatch, fmt.Sprintf("%s/api/flowcharts/%d", base, charts[i%len(charts)]),
			strings.NewReader(fmt.Sprintf(`{"description":"%d %s"}`, i, strings.Repeat("x", 400))))
		if err != nil {
			return accepted
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			continue
		}
		if res.StatusCode == http.StatusOK {
			accepted++
		}
		_ = res.Body.Close()
	}
}

// disturb does harm until ctx ends, and gives what it did how often.
func disturb(ctx context.Context, t *testing.T, r *replica, redis *redistest.Server, every time.Duration) map[string]int {
	t.Helper()
	done := map[string]int{}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var mend func()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			if mend != nil {
				mend()
			}
			return done
		case <-ticker.C:
		}
		if mend != nil {
			mend()
			mend = nil
		}
		switch what := []string{"worker killed", "redis killed", "worker killed", "redis frozen", "redis emptied"}[i%5]; what {
		case "worker killed":
			if pids := children(r.cmd.Process.Pid); len(pids) > 0 {
				_ = syscall.Kill(pids[rand.IntN(len(pids))], syscall.SIGKILL)
			}
			done[what]++
		case "redis killed":
			redis.Kill(t)
			mend = func() { redis.Restart(t) }
			done[what]++
		case "redis frozen":
			redis.Freeze(t)
			mend = func() { redis.Thaw(t) }
			done[what]++
		default:
			require.NoError(t, redis.Client(t).FlushAll(context.WithoutCancel(ctx)).Err())
			done[what]++
		}
	}
}

// children are the processes that pid has started: a master's are its workers.
func children(pid int) []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			id, _ := strconv.Atoi(strings.Split(path, "/")[2])
			out = append(out, id)
		}
	}
	return out
}
