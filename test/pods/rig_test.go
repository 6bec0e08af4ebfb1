package pods

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/node"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const patience = 60 * time.Second

// TestMain plays the program: started as "executor" it is the real command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "executor" {
		os.Exit(app.Main(context.Background(), app.Edge{
			Args: os.Args[1:], Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now,
		}))
	}
	os.Exit(m.Run())
}

// rig is a Studio without a cluster: engine, API, workers, and processes for pods.
type rig struct {
	t      *testing.T
	db     *postgres.DB
	engine *run.Engine
	llm    *llmtest.Server
	api    *api
	jobs   *jobs
	pods   *cluster
}

// jobs hands what is enqueued to the workers of the test, in the order of the commits.
type jobs struct{ c chan int64 }

func (j *jobs) InsertNodes(_ context.Context, tx *postgres.Tx, in []run.Job) error {
	tx.AfterCommit(func() {
		for _, job := range in {
			j.c <- job.NodeRunID
		}
	})
	return nil
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, db: pgtest.DB(t), llm: llmtest.New(t), jobs: &jobs{c: make(chan int64, 256)}}
	log := event.NewLog(nil, time.Now)
	r.pods = &cluster{pods: map[string]*process{}, changed: make(chan struct{})}
	r.engine = run.NewEngine(run.Options{
		DB: r.db, Log: log, Jobs: r.jobs, Signaller: r, ExecutorFor: func(string) string { return run.InPod },
		Hint: func(int64, int32) { r.pods.hint() }, Now: time.Now,
	})
	r.api = newAPI(t, r.handler(log))
	t.Cleanup(r.pods.killAll)
	return r
}

// SignalCancel is not needed: the workers of the test ask for their orders.
func (r *rig) SignalCancel([]int64) { r.pods.hint() }

func (r *rig) handler(log *event.Log) http.Handler {
	r.t.Helper()
	users, err := auth.NewService(r.t.Context(), r.db, time.Now)
	require.NoError(r.t, err)
	box, err := secret.New(make([]byte, secret.KeySize))
	require.NoError(r.t, err)
	client, err := queue.NewClient(queue.Options{DB: r.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(r.t, err)
	return httpapi.New(httpapi.Deps{
		DB: r.db, Log: log, Auth: users, Flowcharts: store.New(r.db, log, time.Now), Catalog: catalog.New(r.db, log, box, secret.Fingerprint),
		Engine: r.engine, Models: r, Schedules: schedule.NewStore(r.db, log), Queues: queue.NewBoard(r.db, client, log, time.Now),
		Ready:     func(context.Context) []string { return nil },
		APIPrefix: "/api", WebPrefix: "/web", SocketPath: "/socket.io", Version: "dev", Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

// Resolve implements node.Models: all models are the scripted server's.
func (r *rig) Resolve(_ context.Context, id int64) (executor.Model, map[string]string, error) {
	return executor.Model{
		ID: id, Name: "m", ProviderKind: "openai", ProviderName: "scripted", BaseURL: r.llm.OpenAIURL(), Model: "m",
	}, map[string]string{"api_key": "sk-very-secret"}, nil
}

// api is the Studio's API, whose listener can go away and come back.
type api struct {
	t       *testing.T
	handler http.Handler
	address string
	server  *http.Server
	done    chan struct{}
	seen    chan string
	mu      sync.Mutex
	spoil   func(w http.ResponseWriter, r *http.Request, next http.Handler)
}

func newAPI(t *testing.T, handler http.Handler) *api {
	t.Helper()
	a := &api{t: t, handler: handler, address: "127.0.0.1:0", seen: make(chan string, 4096)}
	a.up()
	t.Cleanup(a.down)
	return a
}

func (a *api) up() {
	a.t.Helper()
	listener, err := net.Listen("tcp", a.address)
	require.NoError(a.t, err)
	a.address = listener.Addr().String()
	a.server, a.done = &http.Server{Handler: http.HandlerFunc(a.serve), ReadHeaderTimeout: time.Minute}, make(chan struct{})
	go func() {
		defer close(a.done)
		_ = a.server.Serve(listener)
	}()
}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case a.seen <- r.Method + " " + r.URL.Path:
	default:
	}
	a.mu.Lock()
	spoil := a.spoil
	a.mu.Unlock()
	if spoil != nil {
		spoil(w, r, a.handler)
		return
	}
	a.handler.ServeHTTP(w, r)
}

// spoilt has f serve from now on; nil: nothing is between.
func (a *api) spoilt(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.spoil = f
}

// down closes the listener and cuts all connections.
func (a *api) down() {
	_ = a.server.Close()
	<-a.done
}

func (a *api) url() string { return "http://" + a.address + "/api" }

// cluster is what survives a worker: the pods.
type cluster struct {
	mu      sync.Mutex
	pods    map[string]*process
	changed chan struct{}
	launch  func(cmd *exec.Cmd) // changes how a pod is started
	payload func(raw []byte)    // mounts it
}

func (c *cluster) hint() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *cluster) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

func (c *cluster) killAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pods {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
}

func (c *cluster) get(id string) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pods[id]
}

// process is a pod.
type process struct {
	cmd    *exec.Cmd
	out    *output
	exited chan struct{}
	token  string
}

type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// launch starts the executor command with a token and an address, and nothing else.
func (r *rig) launch(id, token string, environ ...string) *process {
	r.t.Helper()
	p := &process{out: &output{}, exited: make(chan struct{}), token: token}
	p.cmd = exec.Command("/proc/self/exe", "executor")
	p.cmd.Dir = r.t.TempDir()
	p.cmd.Env = append([]string{
		"LLMCTL_EXECUTOR_TOKEN=" + token, "LLMCTL_EXECUTOR_API_URL=" + r.api.url(), "LLMCTL_EXECUTOR_DEFAULT_CWD=" + p.cmd.Dir,
	}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.pods.launch != nil {
		r.pods.launch(p.cmd)
	}
	if err := p.cmd.Start(); err != nil {
		panic(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
		r.pods.hint()
	}()
	r.pods.mu.Lock()
	defer r.pods.mu.Unlock()
	r.pods.pods[id] = p
	return p
}

// dispatcher is an executor over processes instead of a cluster's Jobs.
type dispatcher struct {
	r      *rig
	worker uuid.UUID
	store  *node.Dispatches
	frozen chan struct{} // closed: the worker stands still
}

func (d *dispatcher) Name() string { return run.InPod }

func (d *dispatcher) ref(nodeRunID int64, attempt int) run.Ref {
	return run.Ref{NodeRunID: nodeRunID, Attempt: int32(attempt), Worker: d.worker}
}

func (d *dispatcher) Execute(ctx context.Context, p executor.Payload, _ executor.Sink) executor.Result {
	ref := d.ref(p.NodeRunID, p.Attempt)
	p.Secrets = nil
	raw, err := json.Marshal(p)
	if err != nil {
		return executor.Failure("dispatch", err.Error(), false)
	}
	return d.dispatch(ctx, ref, raw)
}

func (d *dispatcher) dispatch(ctx context.Context, ref run.Ref, raw []byte) executor.Result {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	token := hex.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	id := fmt.Sprintf("kubernetes:test/%d-%d", ref.NodeRunID, ref.Attempt)
	if err := d.store.Begin(ctx, ref, id, sum[:], raw); err != nil {
		return d.gone(ctx, err)
	}
	if d.r.pods.payload != nil {
		d.r.pods.payload(raw)
	}
	p := d.r.launch(id, token)
	if err := d.store.Submitted(ctx, ref); err != nil {
		return d.gone(ctx, err)
	}
	return d.watch(ctx, ref, p)
}

// gone is what is left to say when the attempt is not this worker's any more.
func (d *dispatcher) gone(_ context.Context, err error) executor.Result {
	return executor.Result{Settled: true, Error: &executor.ResultError{Message: err.Error()}}
}

func (d *dispatcher) Attach(ctx context.Context, id int64, attempt int, payload func(context.Context) (executor.Payload, error)) executor.Result {
	ref := d.ref(id, attempt)
	state, err := d.store.State(ctx, id, int32(attempt))
	if err != nil {
		return d.gone(ctx, err)
	}
	if p := d.r.pods.get(state.DispatchID); p != nil {
		return d.watch(ctx, ref, p)
	}
	if _, err := payload(ctx); err != nil {
		return d.gone(ctx, err)
	}
	return d.dispatch(ctx, ref, nil)
}

// watch follows a pod until its attempt has ended.
func (d *dispatcher) watch(ctx context.Context, ref run.Ref, p *process) executor.Result {
	cancelled := ctx.Done()
	for {
		changed := d.r.pods.change()
		state, err := d.store.State(context.WithoutCancel(ctx), ref.NodeRunID, ref.Attempt)
		if err != nil || !state.Open {
			return executor.Result{Settled: true}
		}
		select {
		case <-d.frozen:
			<-d.r.t.Context().Done()
			return executor.Result{Settled: true}
		case <-cancelled:
			if context.Cause(ctx) != executor.ErrCancelled { //nolint:errorlint // the very value
				return executor.Result{Settled: true}
			}
			cancelled = nil
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
		case <-p.exited:
			state, err := d.store.State(context.WithoutCancel(ctx), ref.NodeRunID, ref.Attempt)
			if err != nil || !state.Open {
				return executor.Result{Settled: true}
			}
			if ctx.Err() != nil {
				return executor.Result{Status: executor.Cancelled}
			}
			return executor.Failuref(executor.CodeInfra, true, "the pod ended without a result: %s", p.out.String())
		case <-changed:
		}
	}
}

// worker is a worker process, in this one.
type worker struct {
	id         uuid.UUID
	runner     *node.Runner
	dispatcher *dispatcher
	stop       context.CancelFunc
	busy       sync.WaitGroup
}

func (r *rig) newWorker() *worker {
	r.t.Helper()
	w := &worker{id: uuid.New()}
	_, err := r.db.Exec(r.t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
		VALUES ($1, 'test', 'host', 1, 'test', 4, '{}', $2)`, w.id, postgres.BinaryLevel)
	require.NoError(r.t, err)
	w.dispatcher = &dispatcher{r: r, worker: w.id, store: node.NewDispatches(r.engine, time.Now), frozen: make(chan struct{})}
	log := event.NewLog(nil, time.Now)
	w.runner = node.NewRunner(node.RunnerOptions{
		Engine: r.engine, Models: r, Recorder: node.NewRecorder(r.db, log, slog.New(slog.DiscardHandler)),
		Executors: map[string]executor.Executor{run.InPod: w.dispatcher}, Worker: w.id, Fresh: func() bool { return true },
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	work := r.t.Context() // what it holds goes on when it takes nothing more
	ctx, cancel := context.WithCancel(work)
	w.stop = cancel
	w.busy.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case id := <-r.jobs.c:
				w.busy.Go(func() { w.runner.Work(work, id) })
			}
		}
	})
	r.t.Cleanup(cancel)
	return w
}

// die is SIGKILL: the worker does nothing any more, and others find out.
func (w *worker) die(r *rig) {
	r.t.Helper()
	close(w.dispatcher.frozen)
	w.stop()
	r.pods.hint()
	_, err := r.db.Exec(r.t.Context(), `UPDATE worker_process SET tombstone_at = now() WHERE id = $1`, w.id)
	require.NoError(r.t, err)
}

// sweep does what the worker whose turn it is does.
func (r *rig) sweep() {
	r.t.Helper()
	nodes := queue.NewNodes(r.db, r.engine)
	_, err := nodes.Recover(r.t.Context())
	require.NoError(r.t, err)
	due, err := nodes.Due(r.t.Context())
	require.NoError(r.t, err)
	for _, p := range due {
		r.jobs.c <- p.ID
	}
}

// start runs a flowchart start -> a -> end.
func (r *rig) start(kind, config string) run.Run {
	r.t.Helper()
	graph := fmt.Sprintf(`{"nodes":[{"id":"start","kind":"start","title":"s","config":{}},{"id":"a","kind":%q,"title":"a","config":%s},
		{"id":"end","kind":"end","title":"e","config":{}}],"edges":[{"id":"1","source":"start","target":"a","mode":"solid"},
		{"id":"2","source":"a","target":"end","mode":"solid"}]}`, kind, config)
	var id int64
	require.NoError(r.t, r.db.QueryRow(r.t.Context(), `INSERT INTO flowchart (name, version) VALUES ('f', 1) RETURNING id`).Scan(&id))
	_, err := r.db.Exec(r.t.Context(), `INSERT INTO flowchart_version (flowchart_id, number, graph, node_count) VALUES ($1, 1, $2, 3)`, id, graph)
	require.NoError(r.t, err)
	out, err := r.engine.Start(r.t.Context(), run.StartRequest{FlowchartID: id, Input: json.RawMessage(`{}`)})
	require.NoError(r.t, err)
	return out
}

func script(text string) string {
	raw, err := json.Marshal(map[string]any{"script": text, "timeout_seconds": 60})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// a is the node run of the node under test; it waits until cond holds of it.
func (r *rig) a(runID int64, cond func(d run.NodeDetail) bool) run.NodeDetail {
	r.t.Helper()
	until := time.Now().Add(patience)
	for {
		changed := r.pods.change()
		var id int64
		err := r.db.QueryRow(r.t.Context(), `SELECT id FROM node_run WHERE flowchart_run_id = $1 AND flowchart_node_id = 'a'`, runID).Scan(&id)
		require.NoError(r.t, err)
		d, err := r.engine.GetNode(r.t.Context(), id)
		require.NoError(r.t, err)
		if cond(d) {
			require.NoError(r.t, r.engine.FillOutput(r.t.Context(), &d.NodeRun))
			return d
		}
		if time.Now().After(until) {
			r.dump()
			require.FailNow(r.t, "it did not come to that", "%+v", d)
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond): // progress comes without a hint
		}
	}
}

func (r *rig) dump() {
	r.pods.mu.Lock()
	defer r.pods.mu.Unlock()
	for id, p := range r.pods.pods {
		r.t.Logf("%s:\n%s", id, p.out)
	}
}

func ended(d run.NodeDetail) bool { return d.NodeRun.FinishedAt != nil }

func started(d run.NodeDetail) bool {
	return len(d.Attempts) > 0 && d.Attempts[len(d.Attempts)-1].PodUid != nil
}

// text gives what was streamed, and checks that the offsets fit.
func (r *rig) text(n *run.NodeRun, kind string) string {
	r.t.Helper()
	events, err := event.ReadStream(r.t.Context(), r.db, run.StreamOfLog(n.ID), 0, 100_000)
	require.NoError(r.t, err)
	var b strings.Builder
	characters := 0
	for i, e := range events {
		require.EqualValues(r.t, i+1, e.Envelope.Sequence)
		if e.Envelope.EventType != "node:task:"+kind {
			continue
		}
		var p struct {
			Offset int    `json:"offset"`
			Text   string `json:"text"`
		}
		require.NoError(r.t, json.Unmarshal(e.Envelope.Payload, &p))
		if kind == "delta" {
			require.Equal(r.t, characters, p.Offset)
			characters += len([]rune(p.Text))
		}
		b.WriteString(p.Text)
	}
	return b.String()
}

// onlyPod is the pod of a run's only attempt.
func (r *rig) onlyPod() *process {
	r.t.Helper()
	r.pods.mu.Lock()
	defer r.pods.mu.Unlock()
	require.Len(r.t, r.pods.pods, 1)
	for _, p := range r.pods.pods {
		return p
	}
	return nil
}

func (p *process) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		require.FailNow(t, "the pod goes on", p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// alive tells which of the processes live that a script printed.
func alive(pids ...string) []int {
	var out []int
	for _, text := range pids {
		if n, err := strconv.Atoi(text); err == nil && syscall.Kill(n, 0) == nil {
			out = append(out, n)
		}
	}
	return out
}
