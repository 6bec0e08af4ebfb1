package tracing

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/freeport"
	"github.com/llmctl/studio/internal/testkit/oteltest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	patience = 90 * time.Second
	look     = 25 * time.Millisecond
)

// stack is `llmctl serve` with workers beside, each a process with an internal
// listener of its own.
type stack struct {
	t       *testing.T
	dir     string
	url     string
	metrics string // address of serve's figures
	env     map[string]string
	key     string
}

// process is one started program.
type process struct {
	cmd     *exec.Cmd
	metrics string
	exit    chan struct{}
}

func newStack(t *testing.T, collector *oteltest.Collector, env map[string]string) *stack {
	t.Helper()
	dir, err := os.MkdirTemp("", "tr") //nolint:usetesting // paths of sockets must be short
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			raw, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("end of the log:\n%s", raw[max(0, len(raw)-6000):])
		}
		_ = os.RemoveAll(dir)
	})
	bind := "127.0.0.1:" + freeport.Get(t)
	s := &stack{t: t, dir: dir, url: "http://" + bind}
	s.env = map[string]string{
		"LLMCTL_STUDIO_DATABASE_URI": pgtest.URI(t), "LLMCTL_STUDIO_DATA_DIR": filepath.Join(dir, "data"), "TMPDIR": dir,
		"LLMCTL_STUDIO_SECRET_KEY":  base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")),
		"LLMCTL_STUDIO_ADMIN_EMAIL": "admin@example.org", "LLMCTL_STUDIO_ADMIN_PASSWORD": "a long password",
		"GUNICORN_BIND": bind, "GUNICORN_WORKERS": "2", "LLMCTL_STUDIO_SCRIPT_NODES": "true",
	}
	if collector != nil {
		s.env["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.URL()
		s.env["OTEL_BSP_SCHEDULE_DELAY"] = "100"
	}
	maps.Copy(s.env, env)
	serve := s.start("serve")
	s.metrics = serve.metrics
	s.eventually("ready", func() bool { return strings.Contains(s.read("serve.out"), "ready: ") })
	s.signIn()
	return s
}

// start starts the program with the stack's environment; it ends with the test.
func (s *stack) start(args ...string) *process {
	s.t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(s.t, err)
	_, err = os.Stat(path)
	require.NoError(s.t, err, "run `make build` first")
	p := &process{metrics: "127.0.0.1:" + freeport.Get(s.t), exit: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "LLMCTL_STUDIO_INTERNAL_BIND=" + p.metrics}
	for name, value := range s.env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	for name, target := range map[string]*io.Writer{args[0] + ".out": &p.cmd.Stdout, "log": &p.cmd.Stderr} {
		f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(s.t, err)
		defer func() { _ = f.Close() }()
		*target = f
	}
	require.NoError(s.t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.exit)
	}()
	s.t.Cleanup(func() { s.end(p, syscall.SIGTERM) })
	return p
}

// end ends a process and tells how long that took.
func (s *stack) end(p *process, sig syscall.Signal) time.Duration {
	began := time.Now()
	_ = p.cmd.Process.Signal(sig)
	select {
	case <-p.exit:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		s.t.Errorf("%v does not end", p.cmd.Args)
	}
	return time.Since(began)
}

func (s *stack) read(name string) string {
	raw, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(raw)
}

func (s *stack) eventually(what string, cond func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			s.t.Fatalf("never: %s\n%s", what, s.read("log"))
		}
		<-time.After(look)
	}
}

func request(ctx context.Context, method, url string, body any, header http.Header) (int, http.Header, []byte, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header, req.Close = header.Clone(), true
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, raw, err
}

// call makes a request that is to be answered with want.
func (s *stack) call(want int, method, path string, body, out any, header ...string) http.Header {
	s.t.Helper()
	h := http.Header{}
	if s.key != "" {
		h.Set("Authorization", "Bearer "+s.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	status, got, raw, err := request(s.t.Context(), method, s.url+path, body, h)
	require.NoError(s.t, err)
	require.Equal(s.t, want, status, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out), "%s", raw)
	}
	return got
}

func (s *stack) signIn() {
	s.t.Helper()
	h := s.call(200, "POST", "/api/auth/login", map[string]string{"email": "admin@example.org", "password": "a long password"}, nil)
	session, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	var made struct {
		Key string `json:"key"`
	}
	s.call(201, "POST", "/api/api-keys", map[string]string{"name": "test"}, &made, "Cookie", session)
	s.key = made.Key
}

type idBody struct {
	ID int64 `json:"id"`
}

// model stores a provider and a model of it.
func (s *stack) model(baseURL string) int64 {
	s.t.Helper()
	var p, m idBody
	s.call(201, "POST", "/api/providers", map[string]any{"name": "Scripted", "kind": "openai", "base_url": baseURL, "api_key": "sk"}, &p)
	s.call(201, "POST", "/api/models", map[string]any{"name": "Scripted", "provider_id": p.ID, "model": "scripted-model"}, &m)
	return m.ID
}

// flowchart stores nodes in a row, from a start node to an end node. Each is an id, a
// kind and a config.
func (s *stack) flowchart(name string, nodes ...[3]any) int64 {
	s.t.Helper()
	var f idBody
	s.call(201, "POST", "/api/flowcharts", map[string]any{"name": name}, &f)
	all := append(append([][3]any{{"start", "start", map[string]any{}}}, nodes...), [3]any{"end", "end", map[string]any{}})
	var graph struct {
		Nodes []map[string]any `json:"nodes"`
		Edges []map[string]any `json:"edges"`
	}
	for i, n := range all {
		graph.Nodes = append(graph.Nodes, map[string]any{
			"id": n[0], "kind": n[1], "title": n[0], "position": map[string]int{"x": 0, "y": 0}, "config": n[2],
		})
		if i > 0 {
			graph.Edges = append(graph.Edges, map[string]any{"id": fmt.Sprint("e", i), "source": all[i-1][0], "target": n[0], "mode": "solid"})
		}
	}
	s.call(200, "PUT", fmt.Sprintf("/api/flowcharts/%d/graph", f.ID), graph, nil)
	return f.ID
}

type runBody struct {
	Run struct {
		ID       int64           `json:"id"`
		Status   string          `json:"status"`
		Error    json.RawMessage `json:"error"`
		TraceID  string          `json:"trace_id"`
		TraceURL string          `json:"trace_url"`
	} `json:"flowchart_run"`
}

// run starts a run; header goes along.
func (s *stack) run(flowchart int64, header ...string) runBody {
	s.t.Helper()
	var r runBody
	s.call(202, "POST", fmt.Sprintf("/api/flowcharts/%d/runs", flowchart), map[string]any{"input": map[string]any{"text": "hello"}}, &r, header...)
	return r
}

func (s *stack) await(id int64, status string) runBody {
	s.t.Helper()
	var r runBody
	s.eventually(fmt.Sprintf("run %d is %s", id, status), func() bool {
		s.call(200, "GET", fmt.Sprintf("/api/flowchart-runs/%d", id), nil, &r)
		return r.Run.Status == status || r.Run.Status == "failed"
	})
	require.Equal(s.t, status, r.Run.Status, "%s", r.Run.Error)
	return r
}
