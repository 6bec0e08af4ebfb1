package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 60 * time.Second

// studio is a running `llmctl up`, spoken to as its users do.
type studio struct {
	t     *testing.T
	args  []string // further ones
	env   []string // further ones
	dir   string
	url   string
	setup string // the setup token of the first start
	key   string // an API key
	cmd   *exec.Cmd
	log   *bytes.Buffer
}

// binary is the program as built by `make build`.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there; run `make build` first", path)
	}
	return path
}

// newStudio starts a studio on a fresh data dir.
func newStudio(t *testing.T, args ...string) *studio {
	t.Helper()
	return newStudioWith(t, nil, args...)
}

// newStudioWith is newStudio with further environment.
func newStudioWith(t *testing.T, env []string, args ...string) *studio {
	t.Helper()
	dir, err := os.MkdirTemp("", "llmctl-e2e-") //nolint:usetesting // the database's account must reach it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &studio{t: t, args: args, env: env, dir: dir, url: "http://" + l.Addr().String()}
	require.NoError(t, l.Close())
	s.start()
	t.Cleanup(func() { s.end(syscall.SIGTERM) })
	return s
}

// start runs the program until it says that it is ready.
func (s *studio) start() {
	s.t.Helper()
	args := append([]string{"up", "--no-browser", "--data-dir", s.dir, "--bind", strings.TrimPrefix(s.url, "http://")}, s.args...)
	s.cmd = exec.Command(binary(s.t), args...)
	// A server for tests in the environment is not this studio's.
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") {
			s.cmd.Env = append(s.cmd.Env, pair)
		}
	}
	s.cmd.Env = append(append(s.cmd.Env, "CELERY_WORKER_CONCURRENCY=8"), s.env...)
	s.log = &bytes.Buffer{}
	s.cmd.Stderr = s.log
	out, err := s.cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, s.cmd.Start())
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if token, ok := strings.CutPrefix(lines.Text(), "setup: "+s.url+"/web/setup?token="); ok {
				s.setup = token
			}
			if lines.Text() == "ready: "+s.url+"/web" {
				ready <- true
			}
		}
		close(ready)
	}()
	select {
	case ok := <-ready:
		if !ok {
			_ = s.cmd.Wait()
			s.t.Fatalf("llmctl up ended before it was ready:\n%s", s.log)
		}
	case <-time.After(patience):
		s.t.Fatalf("llmctl up is not ready:\n%s", s.log)
	}
}

// end signals the program and waits for its end.
func (s *studio) end(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig)
	err := s.cmd.Wait()
	s.cmd = nil
	if sig == syscall.SIGTERM {
		require.NoError(s.t, err, "exit code after SIGTERM\n%s", s.log)
	}
}

// call makes a request and decodes the answer into out.
func (s *studio) call(method, path string, body, out any) int {
	s.t.Helper()
	status, raw, err := s.try(method, path, body)
	require.NoError(s.t, err)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out), "%s %s: %d %s", method, path, status, raw)
	}
	return status
}

func (s *studio) try(method, path string, body any) (int, []byte, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

// signIn redeems the setup link and makes an API key, as a person would.
func (s *studio) signIn() {
	s.t.Helper()
	require.NotEmpty(s.t, s.setup, "the first start prints a setup link")
	body, err := json.Marshal(map[string]string{"token": s.setup, "email": "admin@example.org", "password": "a long password"})
	require.NoError(s.t, err)
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/auth/setup", bytes.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{}).Do(req)
	require.NoError(s.t, err)
	require.NoError(s.t, resp.Body.Close())
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	require.Len(s.t, resp.Cookies(), 1)
	req, err = http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+"/api/api-keys", strings.NewReader(`{"name":"e2e"}`))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.AddCookie(resp.Cookies()[0])
	resp, err = (&http.Client{}).Do(req)
	require.NoError(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	var made struct {
		Key string `json:"key"`
	}
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&made))
	require.NotEmpty(s.t, made.Key)
	s.key = made.Key
}

type idBody struct {
	ID int64 `json:"id"`
}

// model sets up a provider and a model for a scripted server.
func (s *studio) model(baseURL string) int64 {
	s.t.Helper()
	var p, m idBody
	require.Equal(s.t, 201, s.call("POST", "/api/providers", map[string]any{"name": "Scripted", "kind": "openai", "base_url": baseURL, "api_key": "sk-secret"}, &p))
	require.Equal(s.t, 201, s.call("POST", "/api/models", map[string]any{"name": "Scripted", "provider_id": p.ID, "model": "scripted-model"}, &m))
	return m.ID
}

// flowchart stores a graph.
func (s *studio) flowchart(graph string) int64 {
	s.t.Helper()
	var f idBody
	require.Equal(s.t, 201, s.call("POST", "/api/flowcharts", map[string]any{"name": "e2e"}, &f))
	var saved struct {
		Validation struct {
			Valid  bool `json:"valid"`
			Errors any  `json:"errors"`
		} `json:"validation"`
	}
	require.Equal(s.t, 200, s.call("PUT", fmt.Sprintf("/api/flowcharts/%d/graph", f.ID), graph, &saved))
	require.True(s.t, saved.Validation.Valid, "%v", saved.Validation.Errors)
	return f.ID
}

// sixNodes has a decision and a parallel join.
func sixNodes(model int64) string {
	return fmt.Sprintf(`{"nodes":[
		{"id":"start","kind":"start","title":"Start","position":{"x":0,"y":0},"config":{}},
		{"id":"summary","kind":"task","title":"Summary","position":{"x":200,"y":0},"config":{"prompt":"SUMMARY of run {{ run.id }}: {{ input.text }}","model_id":%[1]d,"retry":{"max_attempts":3,"backoff_seconds":0.1}}},
		{"id":"pick","kind":"decision","title":"Long?","position":{"x":200,"y":200},"config":{"conditions":[{"edge_id":"e3","expression":"size(input.text) > 100"}],"default_edge_id":"e4"}},
		{"id":"outline","kind":"task","title":"Outline","position":{"x":400,"y":200},"config":{"prompt":"OUTLINE of run {{ run.id }}: {{ input.text }}","model_id":%[1]d,"retry":{"max_attempts":3,"backoff_seconds":0.1}}},
		{"id":"report","kind":"task","title":"Report","position":{"x":600,"y":100},"config":{"prompt":"REPORT of run {{ run.id }}: {{ has(nodes.outline) ? \"with outline\" : \"without outline\" }}; {{ size(nodes.summary.text) > 0 }}","model_id":%[1]d,"retry":{"max_attempts":3,"backoff_seconds":0.1}}},
		{"id":"end","kind":"end","title":"End","position":{"x":800,"y":100},"config":{}}],
		"edges":[
		{"id":"e1","source":"start","target":"summary","mode":"solid"},{"id":"e2","source":"start","target":"pick","mode":"solid"},
		{"id":"e3","source":"pick","target":"outline","mode":"solid"},{"id":"e4","source":"pick","target":"report","mode":"solid"},
		{"id":"e5","source":"outline","target":"report","mode":"solid"},{"id":"e6","source":"summary","target":"report","mode":"solid"},
		{"id":"e7","source":"report","target":"end","mode":"solid"}]}`, model)
}

type runBody struct {
	Run struct {
		ID     int64           `json:"id"`
		Status string          `json:"status"`
		Output json.RawMessage `json:"output"`
		Error  json.RawMessage `json:"error"`
	} `json:"flowchart_run"`
	Nodes []struct {
		ID      int64  `json:"id"`
		Node    string `json:"flowchart_node_id"`
		Status  string `json:"status"`
		Attempt int    `json:"attempt"`
	} `json:"node_runs"`
}

func (s *studio) run(id int64) runBody {
	s.t.Helper()
	var r runBody
	require.Equal(s.t, 200, s.call("GET", fmt.Sprintf("/api/flowchart-runs/%d", id), nil, &r))
	return r
}

func final(status string) bool {
	return status == "succeeded" || status == "failed" || status == "cancelled"
}

// await polls a run until it has ended.
func (s *studio) await(id int64) runBody {
	s.t.Helper()
	var r runBody
	require.Eventually(s.t, func() bool { r = s.run(id); return final(r.Run.Status) }, patience, 20*time.Millisecond)
	return r
}

type envelope struct {
	Type     string          `json:"event_type"`
	Stream   string          `json:"sequence_stream"`
	Sequence int64           `json:"sequence"`
	ID       string          `json:"event_id"`
	Payload  json.RawMessage `json:"payload"`
}

// events reads a stream from the log and checks that it is 1..n.
func (s *studio) events(stream string) []json.RawMessage {
	s.t.Helper()
	var all []json.RawMessage
	for {
		var page struct {
			Items []json.RawMessage `json:"items"`
		}
		require.Equal(s.t, 200, s.call("GET", fmt.Sprintf("/api/events?stream=%s&after=%d&limit=1000", stream, len(all)), nil, &page))
		for _, raw := range page.Items {
			var e envelope
			require.NoError(s.t, json.Unmarshal(raw, &e))
			require.Equal(s.t, int64(len(all)+1), e.Sequence, "stream %s", stream)
			all = append(all, raw)
		}
		if len(page.Items) == 0 {
			return all
		}
	}
}
