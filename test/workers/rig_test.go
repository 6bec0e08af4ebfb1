package workers

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const patience = 60 * time.Second

// rig is a database, the engine that starts runs, and a server that the nodes of the
// runs ask, each for an answer that the test gives.
type rig struct {
	t        *testing.T
	db       *postgres.DB
	uri      string
	engine   *run.Engine
	flow     int64
	requests chan chan string // one for each request, to be answered
	server   *httptest.Server
	address  string // of up
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, uri: pgtest.URI(t), requests: make(chan chan string, 100)}
	var err error
	r.db, err = postgres.Open(t.Context(), postgres.Options{URI: r.uri, MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(r.db.Close)
	quiet := slog.New(slog.DiscardHandler)
	jobs, err := queue.NewClient(queue.Options{DB: r.db, Logger: quiet})
	require.NoError(t, err)
	r.engine = run.NewEngine(run.Options{
		DB: r.db, Log: event.NewLog(bus.NewMemory(), time.Now), Jobs: jobs,
		ExecutorFor: func(string) string { return "inline" }, Now: time.Now, Logger: quiet,
	})
	over := make(chan struct{})
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := make(chan string, 1)
		r.requests <- answer
		select {
		case text := <-answer:
			_, _ = fmt.Fprintf(w, `{"from": %q}`, text)
		case <-over: // the asker may be frozen, so that its end is not seen
		}
	}))
	t.Cleanup(func() {
		close(over)
		r.server.Close()
	})
	r.flow = r.flowchart()
	return r
}

// flowchart stores one with a single node that asks the server.
func (r *rig) flowchart() int64 {
	r.t.Helper()
	graph := fmt.Sprintf(`{"nodes":[
		{"id":"start","kind":"start","title":"","position":{"x":0,"y":0},"config":{}},
		{"id":"ask","kind":"http","title":"","position":{"x":0,"y":0},"config":{"method":"GET","url":%q}},
		{"id":"end","kind":"end","title":"","position":{"x":0,"y":0},"config":{}}],
		"edges":[{"id":"e1","source":"start","target":"ask","mode":"solid"},{"id":"e2","source":"ask","target":"end","mode":"solid"}]}`, r.server.URL)
	var id int64
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), `INSERT INTO flowchart (name, version) VALUES ('ask', 1) RETURNING id`).Scan(&id))
	_, err := r.db.Exec(r.t.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, 1, $2, 3)`, id, graph)
	require.NoError(r.t, err)
	return id
}

// run starts a run and gives its id.
func (r *rig) run() int64 {
	r.t.Helper()
	made, err := r.engine.Start(r.t.Context(), run.StartRequest{FlowchartID: r.flow})
	require.NoError(r.t, err)
	return made.ID
}

// environ is what every process of the rig gets.
func (r *rig) environ() []string {
	return []string{
		"LLMCTL_STUDIO_DATABASE_URI=" + r.uri, "LLMCTL_STUDIO_DATA_DIR=" + r.t.TempDir(), "LLMCTL_STUDIO_INTERNAL_BIND=off",
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_HTTP_NODE_ALLOW=127.0.0.1",
	}
}

// worker starts an llmctl worker and waits until it takes jobs.
func (r *rig) worker(name string, environ ...string) *proctest.Process {
	r.t.Helper()
	p := proctest.Start(r.t, "../..", []string{"worker"}, append(append(r.environ(), "CELERY_WORKER_HOSTNAME="+name, "CELERY_WORKER_CONCURRENCY=2"), environ...))
	p.AwaitLog("worker ready", patience)
	return p
}

// up starts an llmctl up on the rig's database and waits until it serves.
func (r *rig) up() *proctest.Process {
	r.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(r.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	r.address = l.Addr().String()
	require.NoError(r.t, l.Close())
	p := proctest.Start(r.t, "../..", []string{"up", "--no-browser", "--bind", r.address}, append(r.environ(), "CELERY_WORKER_HOSTNAME=up"))
	p.AwaitLog("ready: http", patience)
	return p
}

// serves tells whether the address of up answers.
func (r *rig) serves() bool {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.address+"/api/health", nil)
	require.NoError(r.t, err)
	client := http.Client{Timeout: patience}
	answer, err := client.Do(request)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// asked waits for a request of a node.
func (r *rig) asked() chan string {
	r.t.Helper()
	select {
	case answer := <-r.requests:
		return answer
	case <-time.After(patience):
		require.FailNow(r.t, "no node asked")
		return nil
	}
}

// holder is the host name of the worker that holds the open attempt of a run.
func (r *rig) holder(id int64) string {
	r.t.Helper()
	var host string
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), `SELECT w.hostname FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id
		JOIN worker_process w ON w.id = a.worker_process_id WHERE n.flowchart_run_id = $1 AND a.finished_at IS NULL`, id).Scan(&host))
	return host
}

// ended waits for the end of a run and gives its state, and who answered it.
func (r *rig) ended(id int64) (status, from string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		err := r.db.QueryRow(r.t.Context(), `SELECT status, coalesce(output->'json'->>'from', '') FROM flowchart_run
			WHERE id = $1 AND finished_at IS NOT NULL`, id).Scan(&status, &from)
		return err == nil
	}, patience, 20*time.Millisecond)
	return status, from
}

// attempts are the states of a run's attempts, with the code of what failed.
func (r *rig) attempts(id int64) []string {
	r.t.Helper()
	rows, err := r.db.Query(r.t.Context(), `SELECT w.hostname || ' ' || a.status || coalesce(' ' || (a.error->>'code'), '')
		FROM node_attempt a JOIN node_run n ON n.id = a.node_run_id JOIN worker_process w ON w.id = a.worker_process_id
		WHERE n.flowchart_run_id = $1 ORDER BY a.number`, id)
	require.NoError(r.t, err)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var one string
		require.NoError(r.t, rows.Scan(&one))
		out = append(out, one)
	}
	require.NoError(r.t, rows.Err())
	return out
}

func (r *rig) count(sql string, args ...any) int {
	r.t.Helper()
	var n int
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), sql, args...).Scan(&n))
	return n
}

// terminate ends a worker as a supervisor does and expects that it does so cleanly.
func terminate(t *testing.T, p *proctest.Process) {
	t.Helper()
	p.Signal(syscall.SIGTERM)
	require.Equal(t, 0, p.Wait(patience))
}
