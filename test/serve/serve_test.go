package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	patience = 90 * time.Second
	look     = 25 * time.Millisecond
)

// stack is a running `llmctl serve` with a database of its own.
type stack struct {
	t       *testing.T
	dir     string
	address string
	url     string
	env     map[string]string
	args    []string // further ones of serve
	key     string   // an API key
	marker  string   // in the environment of every process of this stack
	cmd     *exec.Cmd
	exit    chan error
	others  []*exec.Cmd
}

func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there; run `make build` first", path)
	}
	return path
}

// prepare makes a stack without starting it. Its address is one that nothing else on
// this machine uses.
func prepare(t *testing.T, env map[string]string) *stack {
	t.Helper()
	dir, err := os.MkdirTemp("", "ls") //nolint:usetesting // paths of sockets must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(200), rand.IntN(256), 1+rand.IntN(250))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", host+":0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	s := &stack{t: t, dir: dir, address: l.Addr().String(), marker: "SERVE_TEST=" + filepath.Base(dir)}
	s.url = "http://" + s.address
	s.env = map[string]string{
		"LLMCTL_STUDIO_DATABASE_URI": pgtest.URI(t), "LLMCTL_STUDIO_DATA_DIR": filepath.Join(dir, "data"),
		"LLMCTL_STUDIO_SECRET_KEY":  base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")),
		"LLMCTL_STUDIO_ADMIN_EMAIL": "admin@example.org", "LLMCTL_STUDIO_ADMIN_PASSWORD": "a long password",
		"LLMCTL_STUDIO_INTERNAL_BIND": "off", "GUNICORN_BIND": s.address, "GUNICORN_WORKERS": "2",
		"GUNICORN_ACCESS_LOG": filepath.Join(dir, "access.log"), "TMPDIR": dir,
	}
	maps.Copy(s.env, env)
	t.Cleanup(s.clean)
	return s
}

// start starts the program until it says that it is ready.
func (s *stack) start() {
	s.t.Helper()
	s.cmd = s.run("out", append([]string{"serve"}, s.args...)...)
	exit, cmd := make(chan error, 1), s.cmd
	s.exit = exit
	go func() { exit <- cmd.Wait() }()
	s.eventually("ready", func() bool {
		select {
		case err := <-s.exit:
			s.exit <- err
			s.t.Fatalf("llmctl serve ended: %v\n%s", err, s.log())
		default:
		}
		return strings.Contains(s.read("out"), "ready: ")
	})
}

func newStack(t *testing.T, env map[string]string) *stack {
	t.Helper()
	s := prepare(t, env)
	s.start()
	return s
}

// run starts the program with the stack's environment; its output goes to files.
func (s *stack) run(out string, args ...string) *exec.Cmd {
	s.t.Helper()
	_ = os.Remove(s.path(out))
	cmd := exec.Command(binary(s.t), args...)
	cmd.Env = s.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	for name, target := range map[string]*io.Writer{out: &cmd.Stdout, "log": &cmd.Stderr} {
		f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(s.t, err)
		defer func() { _ = f.Close() }()
		*target = f
	}
	require.NoError(s.t, cmd.Start())
	return cmd
}

func (s *stack) environ() []string {
	env := []string{s.marker, "PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
	for name, value := range s.env {
		env = append(env, name+"="+value)
	}
	return env
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }

func (s *stack) read(name string) string {
	raw, _ := os.ReadFile(s.path(name))
	return string(raw)
}

func (s *stack) log() string { return s.read("log") }

func pause(d time.Duration) { <-time.After(d) }

func (s *stack) eventually(what string, cond func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			s.t.Fatalf("not seen: %s\n%s", what, s.log())
		}
		pause(look)
	}
}

func (s *stack) logged(text string) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%q in the log", text), func() bool { return strings.Contains(s.log(), text) })
}

func (s *stack) signal(sig syscall.Signal) {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(sig))
}

// ended waits for the master's exit and gives its code; -1: by a signal.
func (s *stack) ended() int {
	s.t.Helper()
	select {
	case err := <-s.exit:
		s.exit <- err
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return failed.ExitCode()
		}
		require.NoError(s.t, err)
		return 0
	case <-time.After(patience):
		s.t.Fatalf("the master does not end\n%s", s.log())
		return 0
	}
}

// processes are all processes of this stack, whoever their parent is.
func (s *stack) processes() []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if slices.Contains(strings.Split(string(environ), "\x00"), s.marker) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// workers are the worker processes of a master.
func workers(master int) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if rest[1] == strconv.Itoa(master) && strings.HasPrefix(string(cmdline), "llmctl: web worker") {
			pid, _ := strconv.Atoi(e.Name())
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func (s *stack) workers() []int { return workers(s.cmd.Process.Pid) }

func (s *stack) settle(n int) []int {
	s.t.Helper()
	s.eventually(fmt.Sprintf("exactly %d workers", n), func() bool { return len(s.workers()) == n })
	return s.workers()
}

func (s *stack) stop() {
	s.t.Helper()
	for _, c := range s.others {
		_ = c.Process.Signal(syscall.SIGTERM)
	}
	for _, c := range s.others {
		require.NoError(s.t, c.Wait())
	}
	s.others = nil
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	require.Equal(s.t, 0, s.ended(), "%s", s.log())
	s.gone()
}

func (s *stack) gone() {
	s.t.Helper()
	s.eventually("no process is left", func() bool { return len(s.processes()) == 0 })
}

func (s *stack) clean() {
	for _, pid := range s.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if s.exit != nil {
		<-s.exit
	}
	for _, c := range s.others {
		_ = c.Wait()
	}
	deadline := time.Now().Add(5 * time.Second)
	for len(s.processes()) > 0 && time.Now().Before(deadline) {
		pause(look)
	}
	if s.t.Failed() {
		log := s.log()
		s.t.Logf("end of the log:\n%s", log[max(0, len(log)-6000):])
	}
}

// request makes a request on a new connection.
func (s *stack) request(method, path string, body any, header ...string) (int, []byte, error) {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		reader = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
	if err != nil {
		return 0, nil, err
	}
	req.Close = true
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{}).Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if cookie := resp.Header.Get("Set-Cookie"); cookie != "" && path == "/api/auth/login" {
		return resp.StatusCode, []byte(cookie), nil
	}
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, raw, err
}

func (s *stack) call(want int, method, path string, body, out any) {
	s.t.Helper()
	status, raw, err := s.request(method, path, body)
	require.NoError(s.t, err)
	require.Equal(s.t, want, status, "%s %s: %s", method, path, raw)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out))
	}
}

// health proves that the API answers.
func (s *stack) health() {
	s.t.Helper()
	s.call(200, "GET", "/api/health", nil, nil)
}

// signIn makes an API key as the first administrator.
func (s *stack) signIn() {
	s.t.Helper()
	status, cookie, err := s.request("POST", "/api/auth/login", map[string]string{"email": "admin@example.org", "password": "a long password"})
	require.NoError(s.t, err)
	require.Equal(s.t, 200, status, "%s", cookie)
	session, _, _ := strings.Cut(string(cookie), ";")
	status, raw, err := s.request("POST", "/api/api-keys", map[string]string{"name": "test"}, "Cookie", session)
	require.NoError(s.t, err)
	require.Equal(s.t, 201, status, "%s", raw)
	var made struct {
		Key string `json:"key"`
	}
	require.NoError(s.t, json.Unmarshal(raw, &made))
	s.key = made.Key
}

type idBody struct {
	ID int64 `json:"id"`
}

// flowchart stores a graph with one task node, of a scripted model.
func (s *stack) flowchart(modelURL string) int64 {
	s.t.Helper()
	var p, m, f idBody
	s.call(201, "POST", "/api/providers", map[string]any{"name": fmt.Sprint("Scripted ", rand.Int64()), "kind": "openai", "base_url": modelURL, "api_key": "sk"}, &p)
	s.call(201, "POST", "/api/models", map[string]any{"name": fmt.Sprint("Scripted ", rand.Int64()), "provider_id": p.ID, "model": "scripted-model"}, &m)
	s.call(201, "POST", "/api/flowcharts", map[string]any{"name": "load"}, &f)
	node := func(id, kind string, config map[string]any) map[string]any {
		return map[string]any{"id": id, "kind": kind, "title": id, "position": map[string]int{"x": 0, "y": 0}, "config": config}
	}
	edge := func(id, from, to string) map[string]any {
		return map[string]any{"id": id, "source": from, "target": to, "mode": "solid"}
	}
	s.call(200, "PUT", fmt.Sprintf("/api/flowcharts/%d/graph", f.ID), map[string]any{
		"nodes": []any{
			node("start", "start", map[string]any{}), node("ask", "task", map[string]any{"prompt": "Say {{ input.text }}", "model_id": m.ID}),
			node("end", "end", map[string]any{}),
		},
		"edges": []any{edge("e1", "start", "ask"), edge("e2", "ask", "end")},
	}, nil)
	return f.ID
}

// works starts `llmctl worker` beside.
func (s *stack) works() {
	s.t.Helper()
	s.others = append(s.others, s.run("worker.out", "worker"))
}
