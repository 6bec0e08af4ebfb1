package realtime

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/redistest"
)

const (
	tokenThreads = 100
	tokenPace    = 20 * time.Millisecond // between two tokens of a thread
	tokensEach   = 1000
	tokenWarmup  = 2 * time.Second // from when the last thread began; tokens before are not counted
)

// BenchmarkTokens has 100 threads of the whole program (two web workers and two workers) be answered by a model
// that gives each 50 tokens a second, and tells how long a token takes from the model to the client, and an event from
// the worker that appended it. Clients subscribe before their turn begins, so nothing is caught up with. Model and
// clients are the benchmark's own, in one process, so that there is one clock. Beside it, the time of a bare commit and
// a NOTIFY until it is heard is taken on the same database at the same time.
func BenchmarkTokens(b *testing.B) {
	for _, driver := range []string{"postgres", "redis"} {
		b.Run("bus="+driver, func(b *testing.B) {
			var environ []string
			if driver == "redis" {
				environ = append(environ, "LLMCTL_STUDIO_SOCKETIO_MESSAGE_QUEUE="+redistest.Start(b).URL())
			}
			s, internal := startStudio(b, 2, environ...)
			workers := make([]*process, 2)
			internals := make([]string, 2)
			for i := range workers {
				internals[i] = free(b)
				workers[i] = launchWorker(b, s.command(b, "worker", internals[i], "CELERY_WORKER_CONCURRENCY=1"))
			}
			for b.Loop() {
				measureTokens(b, s, workers, internal, internals[0])
			}
		})
	}
}

// launchWorker waits until a worker says that it is ready.
func launchWorker(b *testing.B, cmd *exec.Cmd) *process {
	b.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	logs, err := cmd.StderrPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	ready, said := make(chan struct{}), &bytes.Buffer{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines, told := bufio.NewScanner(logs), false
		for lines.Scan() {
			said.Write(append(lines.Bytes(), '\n'))
			if !told && strings.Contains(lines.Text(), `"msg":"worker ready"`) {
				told = true
				close(ready)
			}
		}
	}()
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		_ = cmd.Wait()
		if b.Failed() {
			b.Log("llmctl worker said:", said.String())
		}
	})
	select {
	case <-ready:
	case <-read:
		b.Fatal("llmctl worker ended before it was ready")
	}
	return &process{pid: cmd.Process.Pid}
}

// speaker is a server of chat completions whose tokens are the microseconds since begun.
type speaker struct {
	begun time.Time
	live  atomic.Int64
	since atomic.Int64 // when the last thread had begun
	ended atomic.Int64 // when the first one ended; 0: none has
}

func (m *speaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	if m.live.Add(1) == tokenThreads {
		m.since.Store(int64(time.Since(m.begun)))
	}
	const form = "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"timed\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}\n\n"
	ticker := time.NewTicker(tokenPace)
	defer ticker.Stop()
	for range tokensEach {
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
		_, _ = fmt.Fprintf(w, form, fmt.Sprintf(`{"content":"%d;"}`, time.Since(m.begun).Microseconds()), "null")
		_ = out.Flush()
	}
	m.ended.CompareAndSwap(0, int64(time.Since(m.begun)))
	_, _ = fmt.Fprintf(w, form, `{}`, `"stop"`)
	_, _ = fmt.Fprintf(w, "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"timed\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%d,\"total_tokens\":9}}\n\ndata: [DONE]\n\n", tokensEach)
}

// tokenWire is the Studio's, with a room for each client.
type tokenWire struct{ studioWire }

func (w tokenWire) enter(c *client, room string) error {
	if err := w.studioWire.enter(c, ""); err != nil {
		return err
	}
	return c.exchange(fmt.Sprintf(`42/rt,0["rt.subscribe",{"rooms":[%q]}]`, room), `43/rt,0[{"ok":true,"rooms":["`)
}

// piece is a delta at a client: when its oldest token left the model, when the worker
// appended it, and when it came.
type piece struct{ sent, appended, came time.Duration }

// reader is a client of one thread.
type reader struct {
	client *client
	pieces []piece
	fault  error
}

var (
	textMark    = []byte(`"text":"`)
	emittedMark = []byte(`"emitted_at":"`)
	deltaMark   = []byte(`42/rt,["thread:turn:delta",`)
	endMark     = []byte(`42/rt,["thread:turn:completed",`)
)

// read takes pieces until the turn has ended and all of its tokens have come.
func (r *reader) read(begun time.Time) {
	ended := false
	for tokens := 0; !ended || tokens < tokensEach; {
		frame, err := r.client.next()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				r.fault = err
			}
			return
		}
		came := time.Since(begun)
		if bytes.HasPrefix(frame, endMark) {
			ended = true
			continue
		}
		if !bytes.HasPrefix(frame, deltaMark) {
			continue
		}
		text := between(frame, textMark)
		micros, _, _ := bytes.Cut(text, []byte{';'})
		n, err := strconv.ParseInt(string(micros), 10, 64)
		at, terr := time.Parse(time.RFC3339Nano, string(between(frame, emittedMark)))
		if err = errors.Join(err, terr); err != nil {
			r.fault = fmt.Errorf("%w in %s", err, frame)
			return
		}
		tokens += bytes.Count(text, []byte{';'})
		r.pieces = append(r.pieces, piece{sent: time.Duration(n) * time.Microsecond, appended: at.Sub(begun), came: came})
	}
}

func between(frame, mark []byte) []byte {
	_, rest, _ := bytes.Cut(frame, mark)
	value, _, _ := bytes.Cut(rest, []byte{'"'})
	return value
}

func measureTokens(b *testing.B, s *studio, workers []*process, internal, internalOfWorker string) {
	b.Helper()
	m := &speaker{begun: time.Now()}
	server := httptest.NewServer(m)
	defer server.Close()
	var provider, model struct {
		ID int64 `json:"id"`
	}
	s.post(b, "/api/providers", fmt.Sprintf(`{"name":"timed","kind":"openai","base_url":%q,"api_key":"k"}`, server.URL+"/v1"), &provider)
	s.post(b, "/api/models", fmt.Sprintf(`{"name":"timed","provider_id":%d,"model":"timed"}`, provider.ID), &model)
	readers := make([]*reader, tokenThreads)
	threads := make([]int64, tokenThreads)
	for i := range readers {
		var thread struct {
			ID int64 `json:"id"`
		}
		s.post(b, "/api/threads", fmt.Sprintf(`{"model_id":%d}`, model.ID), &thread)
		one, err := dial(b.Context(), s.address, tokenWire{studioWire{key: s.key}}, fmt.Sprint("thread:", thread.ID))
		require.NoError(b, err)
		defer func() { _ = one.conn.Close() }()
		readers[i], threads[i] = &reader{client: one}, thread.ID
	}
	var reading sync.WaitGroup
	for _, r := range readers {
		reading.Go(func() { r.read(m.begun) })
	}
	stop := s.bare(b)
	before := s.spent(b, workers)
	for _, id := range threads {
		s.post(b, fmt.Sprintf("/api/threads/%d/turns", id), `{"message":"go"}`, nil)
	}
	if dir := os.Getenv("BENCH_REALTIME_PROFILES"); dir != "" {
		for _, wait := range []func(){
			profileOf(b, fmt.Sprintf("http://%s/workers/%s/debug/pprof/profile", internal, s.process.family(b)[1]), dir+"/web.pprof", 10*time.Second),
			profileOf(b, fmt.Sprintf("http://%s/debug/pprof/profile", internalOfWorker), dir+"/worker.pprof", 10*time.Second),
		} {
			defer wait()
		}
	}
	reading.Wait()
	after := s.spent(b, workers)
	reportTokens(b, m, readers, stop())
	took := time.Since(m.begun) - time.Duration(m.since.Load())
	for i, name := range spenders {
		b.Logf("%-10s %5.1f s of CPU time", name, (after[i] - before[i]).Seconds())
		b.ReportMetric((after[i]-before[i]).Seconds()/took.Seconds(), name+"-cores")
	}
}

// reportTokens sums up what was sent while all threads were being answered.
func reportTokens(b *testing.B, m *speaker, readers []*reader, bare []time.Duration) {
	b.Helper()
	var whole, worker, client []time.Duration
	from, to := time.Duration(m.since.Load())+tokenWarmup, time.Duration(m.ended.Load())
	for _, r := range readers {
		require.NoError(b, r.fault)
		for _, p := range r.pieces {
			if p.sent >= from && p.sent < to {
				whole, worker, client = append(whole, p.came-p.sent), append(worker, p.appended-p.sent), append(client, p.came-p.appended)
			}
		}
	}
	require.NotEmpty(b, whole)
	for _, f := range []struct {
		name string
		list []time.Duration
	}{{"model-to-client", whole}, {"model-to-append", worker}, {"append-to-client", client}, {"commit-to-notified", bare}} {
		list := sorted(f.list)
		for _, p := range []int{50, 99} {
			b.ReportMetric(float64(percentile(list, p).Microseconds())/1000, fmt.Sprintf("%s-p%d-ms", f.name, p))
		}
		b.Logf("%-18s %6d: p50 %v  p90 %v  p99 %v  max %v", f.name, len(list), percentile(list, 50), percentile(list, 90), percentile(list, 99), list[len(list)-1])
	}
	b.ReportMetric(float64(percentile(sorted(client), 99))/float64(percentile(sorted(bare), 99)), "append-to-client/bare-p99")
}

// bare commits one row and then notifies, twenty times a second, and takes the time until
// that is heard; until it is stopped.
func (s *studio) bare(b *testing.B) (stop func() []time.Duration) {
	b.Helper()
	const table = "bench_bare"
	write, err := pgx.Connect(b.Context(), s.uri)
	require.NoError(b, err)
	hear, err := pgx.Connect(b.Context(), s.uri)
	require.NoError(b, err)
	_, err = write.Exec(b.Context(), "CREATE TABLE IF NOT EXISTS "+table+" (n bigint)")
	require.NoError(b, err)
	_, err = hear.Exec(b.Context(), "LISTEN "+table)
	require.NoError(b, err)
	done, result := make(chan struct{}), make(chan []time.Duration, 1)
	go func() {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		var all []time.Duration
		for n := 0; ; n++ {
			select {
			case <-done:
				result <- all
				return
			case <-ticker.C:
			}
			begun := time.Now()
			// Apart, as the bus does it: a commit that notifies holds a lock of all who notify while it waits for the disk.
			if _, err := write.Exec(b.Context(), "INSERT INTO "+table+" VALUES ($1)", n); err != nil {
				continue
			}
			if _, err := write.Exec(b.Context(), "NOTIFY "+table); err != nil {
				continue
			}
			if _, err := hear.WaitForNotification(b.Context()); err == nil {
				all = append(all, time.Since(begun))
			}
		}
	}()
	return func() []time.Duration {
		close(done)
		all := <-result
		_, _ = write.Close(b.Context()), hear.Close(b.Context())
		return all
	}
}

var spenders = []string{"web", "workers", "database", "bench"}

// spent is the CPU time of those who take part.
func (s *studio) spent(b *testing.B, workers []*process) []time.Duration {
	b.Helper()
	out := make([]time.Duration, len(spenders))
	out[0] = s.process.cpu(b)
	for _, w := range workers {
		out[1] += w.cpu(b)
	}
	var server int
	require.NoError(b, s.db.QueryRow(b.Context(), "SELECT pg_backend_pid()").Scan(&server))
	parent, err := strconv.Atoi(statFields("/proc/" + strconv.Itoa(server) + "/stat")[1])
	require.NoError(b, err)
	out[2] = (&process{pid: parent}).cpu(b)
	own := statFields("/proc/self/stat")
	for _, f := range own[11:13] {
		n, _ := strconv.Atoi(f)
		out[3] += time.Duration(n) * 10 * time.Millisecond
	}
	return out
}

// post asks the program for something to be made.
func (s *studio) post(b *testing.B, path, body string, out any) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+s.address+path, strings.NewReader(body))
	require.NoError(b, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := (&http.Client{Timeout: answerWait}).Do(req)
	require.NoError(b, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(b, err)
	require.Less(b, res.StatusCode, 300, "%s: %s", path, raw)
	if out != nil {
		require.NoError(b, json.Unmarshal(raw, out))
	}
}
