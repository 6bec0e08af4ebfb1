package threads

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 90 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// program is one process of ours.
type program struct {
	t       *testing.T
	cmd     *exec.Cmd
	log     *proctest.Output
	address string // of serve
	dead    atomic.Bool
}

// start runs a role and waits until it says that it is ready.
func start(t *testing.T, role, database string, environ ...string) *program {
	t.Helper()
	binary, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	_, err = os.Stat(binary)
	require.NoError(t, err, "run `make build` first")
	p := &program{t: t, cmd: exec.Command(binary, role), log: &proctest.Output{}}
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "GUNICORN_") && !strings.HasPrefix(pair, "CELERY_") {
			p.cmd.Env = append(p.cmd.Env, pair)
		}
	}
	p.cmd.Env = append(p.cmd.Env,
		"LLMCTL_STUDIO_DATABASE_URI="+database, "LLMCTL_STUDIO_DATA_DIR="+t.TempDir(),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL="+email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD="+password, "LLMCTL_STUDIO_INTERNAL_BIND="+freeAddress(t), "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_BIND=127.0.0.1:0", "GUNICORN_ACCESS_LOG=/dev/null")
	p.cmd.Env = append(p.cmd.Env, environ...)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	logs, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	ready := make(chan string, 2)
	watch := func(r io.Reader) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			_, _ = fmt.Fprintln(p.log, lines.Text())
			if address, ok := strings.CutPrefix(lines.Text(), "ready: http://"); ok {
				ready <- strings.TrimSuffix(address, "/api")
			} else if strings.Contains(lines.Text(), `"msg":"worker ready"`) {
				ready <- ""
			}
		}
	}
	require.NoError(t, p.cmd.Start())
	go watch(out)
	go watch(logs)
	t.Cleanup(p.stop)
	select {
	case p.address = <-ready:
	case <-time.After(patience):
		t.Fatalf("%s is not ready:\n%s", role, p.log)
	}
	return p
}

func (p *program) stop() {
	if !p.dead.Swap(true) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	}
	if p.t.Failed() {
		p.t.Logf("%s:\n%s", p.cmd.Args[1], p.log)
	}
}

// kill ends it without a word.
func (p *program) kill() {
	if !p.dead.Swap(true) {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// children are the processes that a master started. The kernel lists children by
// thread, and a Go program forks in any of its threads; so all processes are looked at.
func (p *program) children() []int {
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(p.cmd.Process.Pid) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			out = append(out, pid)
		}
	}
	return out
}

func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// model is a server of chat completions whose tokens are the time at which they were
// sent, at a fixed rate.
func model(t *testing.T, tokens int, every time.Duration) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		send := func(delta, finish string) {
			_, _ = fmt.Fprintf(w, "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"timed\",\"choices\":[{\"index\":0,\"delta\":%s,\"finish_reason\":%s}]}\n\n", delta, finish)
			if f, ok := w.(http.Flusher); ok {
				f.Flush()
			}
		}
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for range tokens {
			select {
			case <-r.Context().Done():
				return
			case <-ticker.C:
			}
			send(fmt.Sprintf(`{"content":"%d;"}`, time.Now().UnixMilli()), "null")
		}
		send(`{}`, `"stop"`)
		_, _ = fmt.Fprintf(w, "data: {\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"timed\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%d,\"total_tokens\":9}}\n\ndata: [DONE]\n\n", tokens)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/v1"
}

// api is somebody who uses the HTTP interface.
type api struct {
	t    *testing.T
	base string
	key  string
}

func (a *api) call(want int, method, path, body string, out any) {
	a.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		status, raw, err := a.try(method, path, body)
		if err != nil && time.Now().Before(deadline) {
			continue // a web worker was killed under it
		}
		require.NoError(a.t, err)
		require.Equal(a.t, want, status, "%s %s: %s", method, path, raw)
		if out != nil {
			require.NoError(a.t, json.Unmarshal(raw, out), "%s", raw)
		}
		return
	}
}

func (a *api) try(method, path, body string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if a.key != "" {
		req.Header.Set("Authorization", "Bearer "+a.key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, raw, err
}

// signIn gives somebody with an API key.
func signIn(t *testing.T, base string) *api {
	t.Helper()
	a := &api{t: t, base: base}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/auth/login", strings.NewReader(`{"email":"`+email+`","password":"`+password+`"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	_ = res.Body.Close()
	req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/api-keys", strings.NewReader(`{"name":"k"}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for _, c := range res.Cookies() {
		req.AddCookie(c)
	}
	made, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	defer func() { _ = made.Body.Close() }()
	var key struct {
		Key string `json:"key"`
	}
	require.NoError(t, json.NewDecoder(made.Body).Decode(&key))
	a.key = key.Key
	return a
}
