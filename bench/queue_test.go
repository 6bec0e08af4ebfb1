package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// The benchmark of the queue puts jobs that do nothing into a queue and then has one
// worker process work them; ours and Celery's take turns, in several rounds, each at
// its best setting. CPU is that of everything that takes part: who enqueues, the
// worker, and PostgreSQL or Redis.
const (
	queueRounds  = 3
	ourJobs      = 60_000
	celeryJobs   = 10_000
	ourSlots     = 200
	perCommit    = 100 // jobs that are put into the queue with one commit
	latencyJobs  = 400
	latencyPause = 5 * time.Millisecond
)

// tally is what a contestant needed over all rounds.
type tally struct {
	jobs              int
	enqueued, worked  time.Duration
	cpuEnqueue, cpuOf time.Duration
	waits             []time.Duration // from before the enqueue to the start
}

func (t *tally) report(b *testing.B, name string) {
	b.Helper()
	slices.Sort(t.waits)
	million := func(d time.Duration) float64 { return d.Seconds() / float64(t.jobs) * 1e6 }
	b.ReportMetric(t.perSecond(), name+"-jobs/s")
	b.ReportMetric(float64(t.jobs)/t.enqueued.Seconds(), name+"-enqueued/s")
	b.ReportMetric(million(t.cpuOf), name+"-work-cpu-s/M")
	b.ReportMetric(million(t.cpuEnqueue), name+"-enqueue-cpu-s/M")
	b.ReportMetric(t.percentile(50), name+"-ms-p50")
	b.ReportMetric(t.percentile(99), name+"-ms-p99")
}

func (t *tally) perSecond() float64 { return float64(t.jobs) / t.worked.Seconds() }

func (t *tally) cpu() float64 { return (t.cpuEnqueue + t.cpuOf).Seconds() / float64(t.jobs) }

func (t *tally) percentile(p int) float64 {
	return float64(t.waits[min(len(t.waits)*p/100, len(t.waits)-1)].Microseconds()) / 1000
}

func BenchmarkQueue(b *testing.B) {
	r := newCelery(b)
	worker := filepath.Join(b.TempDir(), "queue")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-o", worker, "./peers/queue").CombinedOutput()
	require.NoError(b, err, string(out))
	var ours, theirs tally
	for b.Loop() {
		for range queueRounds {
			measureOurs(b, worker, &ours)
			r.measure(b, &theirs)
		}
	}
	ours.report(b, "llmctl")
	theirs.report(b, "celery")
	b.ReportMetric(ours.perSecond()/theirs.perSecond(), "x-jobs/s")
	b.ReportMetric(theirs.cpu()/ours.cpu(), "x-less-cpu")
}

// own is the CPU time of this process.
func own(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// postmaster is the process that all of the database's processes come from.
func postmaster(b *testing.B, db *postgres.DB) int {
	b.Helper()
	var backend int
	require.NoError(b, db.QueryRow(b.Context(), `SELECT pg_backend_pid()`).Scan(&backend))
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", backend))
	require.NoError(b, err, "the database must be on this machine")
	pid, err := strconv.Atoi(strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))[1])
	require.NoError(b, err)
	return pid
}

func measureOurs(b *testing.B, worker string, t *tally) {
	b.Helper()
	uri := pgtest.URI(b)
	db, err := postgres.Open(b.Context(), postgres.Options{URI: uri})
	require.NoError(b, err)
	defer db.Close()
	client, err := queue.NewClient(queue.Options{DB: db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	insert := func(from, n int) {
		pointers := make([]queue.Pointer, n)
		for i := range pointers {
			pointers[i] = queue.Pointer{Kind: "noop", ID: int64(from + i + 1), Queue: queue.Default}
		}
		require.NoError(b, db.InTx(b.Context(), func(ctx context.Context, tx *postgres.Tx) error { return client.Insert(ctx, tx, pointers) }))
	}
	server := postmaster(b, db)
	runtime.GC()
	began, cpu := time.Now(), own(b)+cpuOf(b, server)
	for i := 0; i < ourJobs; i += perCommit {
		insert(i, perCommit)
	}
	t.jobs, t.enqueued, t.cpuEnqueue = t.jobs+ourJobs, t.enqueued+time.Since(began), t.cpuEnqueue+own(b)+cpuOf(b, server)-cpu

	p := startWorker(b, exec.CommandContext(b.Context(), worker, uri, strconv.Itoa(ourSlots), strconv.Itoa(ourJobs)))
	cpu = cpuOf(b, server)
	took, err := strconv.ParseInt(strings.TrimSpace(p.rest(b)), 10, 64)
	require.NoError(b, err)
	t.worked += time.Duration(took)
	t.cpuOf += cpuOf(b, server) - cpu + p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	var left int
	require.NoError(b, db.QueryRow(b.Context(), `SELECT count(*) FROM river_job WHERE state <> 'completed'`).Scan(&left))
	require.Zero(b, left)

	file := filepath.Join(b.TempDir(), "began")
	p = startWorker(b, exec.CommandContext(b.Context(), worker, uri, strconv.Itoa(ourSlots), strconv.Itoa(latencyJobs), file))
	put := map[int]int64{}
	for i := range latencyJobs {
		put[i+1] = time.Now().UnixNano()
		insert(i, 1)
		<-time.After(latencyPause)
	}
	_ = p.rest(b)
	t.waits = append(t.waits, waits(b, put, file)...)
}

// waits reads when jobs began.
func waits(b *testing.B, put map[int]int64, file string) []time.Duration {
	b.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(b, err)
	var out []time.Duration
	for line := range strings.Lines(string(raw)) {
		var id int
		var at int64
		_, err := fmt.Sscan(line, &id, &at)
		require.NoError(b, err)
		out = append(out, time.Duration(at-put[id]))
	}
	require.Len(b, out, len(put))
	return out
}

// worker is a process that says when it is ready.
type worker struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startWorker(b *testing.B, cmd *exec.Cmd) *worker {
	b.Helper()
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	p := &worker{cmd: cmd, out: bufio.NewReader(pipe)}
	line, err := p.out.ReadString('\n')
	require.NoError(b, err)
	require.Equal(b, "ready\n", line)
	return p
}

// rest is what it says until its end.
func (p *worker) rest(b *testing.B) string {
	b.Helper()
	raw, err := io.ReadAll(p.out)
	require.NoError(b, err)
	require.NoError(b, p.cmd.Wait())
	return string(raw)
}

// celery is Celery on a Redis server of its own.
type celery struct {
	redis  *redis.Client
	server int
	broker string
}

const python = "/usr/bin/python3" // the one that the distribution's packages are for

func newCelery(b *testing.B) *celery {
	b.Helper()
	if exec.CommandContext(b.Context(), python, "-c", "import celery, redis").Run() != nil {
		b.Skip("Celery is not installed: make bench-queue installs it")
	}
	address := free(b)
	_, port, err := net.SplitHostPort(address)
	require.NoError(b, err)
	cmd := exec.CommandContext(b.Context(), "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", b.TempDir())
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	c := &celery{redis: redis.NewClient(&redis.Options{Addr: address}), server: cmd.Process.Pid, broker: "redis://" + address + "/0"}
	b.Cleanup(func() { _ = c.redis.Close() })
	require.Eventually(b, func() bool { return c.redis.Ping(b.Context()).Err() == nil }, 10*time.Second, 20*time.Millisecond)
	return c
}

func (c *celery) command(b *testing.B, file string, arguments ...string) *exec.Cmd {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), python, arguments...)
	cmd.Dir = "peers/celery"
	cmd.Env = append(os.Environ(), "BENCH_BROKER="+c.broker, "BENCH_CLOCK="+file, "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// start starts a prefork worker with one process for each core, which was its best
// setting here, and gives what ends it.
func (c *celery) start(b *testing.B, file string) (pid int, stop func()) {
	b.Helper()
	cmd := c.command(b, file, "-m", "celery", "-A", "tasks", "worker", "-P", "prefork", "-c", strconv.Itoa(runtime.NumCPU()),
		"--prefetch-multiplier", "128", "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "error")
	require.NoError(b, cmd.Start())
	return cmd.Process.Pid, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
}

// left is how many jobs nobody began.
func (c *celery) left(b *testing.B) int64 {
	b.Helper()
	waiting, err := c.redis.LLen(b.Context(), "celery").Result()
	require.NoError(b, err)
	taken, err := c.redis.HLen(b.Context(), "unacked").Result()
	require.NoError(b, err)
	return waiting + taken
}

func (c *celery) measure(b *testing.B, t *tally) {
	b.Helper()
	cpu := cpuOf(b, c.server)
	out, err := c.command(b, "", "enqueue.py", strconv.Itoa(celeryJobs)).Output()
	require.NoError(b, err)
	var took, spent float64
	_, err = fmt.Sscan(string(out), &took, &spent)
	require.NoError(b, err)
	t.jobs += celeryJobs
	t.enqueued += time.Duration(took * float64(time.Second))
	t.cpuEnqueue += time.Duration(spent*float64(time.Second)) + cpuOf(b, c.server) - cpu

	pid, stop := c.start(b, "")
	c.until(b, celeryJobs-1)
	from, began := c.left(b), time.Now()
	cpu = cpuOf(b, c.server) + cpuOf(b, pid)
	c.until(b, 0)
	// What was worked before the first look is not counted, on either side.
	share := float64(celeryJobs) / float64(from)
	t.worked += time.Duration(float64(time.Since(began)) * share)
	t.cpuOf += time.Duration(float64(cpuOf(b, c.server)+cpuOf(b, pid)-cpu) * share)
	stop()
	c.latency(b, t)
}

// until waits until no more than so many jobs are left.
func (c *celery) until(b *testing.B, most int64) {
	b.Helper()
	require.Eventually(b, func() bool { return c.left(b) <= most }, 5*time.Minute, 5*time.Millisecond)
}

func (c *celery) latency(b *testing.B, t *tally) {
	b.Helper()
	file := filepath.Join(b.TempDir(), "began")
	_, stop := c.start(b, file)
	defer stop()
	// The first one shows that it works.
	require.NoError(b, c.command(b, file, "enqueue.py", "1", "0").Run())
	require.Eventually(b, func() bool { raw, _ := os.ReadFile(file); return bytes.Count(raw, []byte("\n")) == 1 }, time.Minute, 20*time.Millisecond)
	require.NoError(b, os.Truncate(file, 0))
	out, err := c.command(b, file, "enqueue.py", strconv.Itoa(latencyJobs), fmt.Sprint(latencyPause.Seconds())).Output()
	require.NoError(b, err)
	require.Eventually(b, func() bool { raw, _ := os.ReadFile(file); return bytes.Count(raw, []byte("\n")) == latencyJobs }, time.Minute, 20*time.Millisecond)
	put := map[int]int64{}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines[:latencyJobs] {
		var id int
		var at int64
		_, err := fmt.Sscan(line, &id, &at)
		require.NoError(b, err)
		put[id] = at
	}
	t.waits = append(t.waits, waits(b, put, file)...)
}
