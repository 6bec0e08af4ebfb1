package mcpserver_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// patience is for a machine that has other things to do.
const patience = 90 * time.Second

// output collects what a process writes, and tells when there is more.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	select {
	case o.more <- struct{}{}:
	default:
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the process has written something that fits.
func (o *output) await(t *testing.T, what string) []string {
	t.Helper()
	pattern := regexp.MustCompile(what)
	deadline := time.After(patience)
	for {
		if match := pattern.FindStringSubmatch(o.String()); match != nil {
			return match
		}
		select {
		case <-o.more:
		case <-deadline:
			require.Fail(t, "no "+what, o.String())
		}
	}
}

// process is one llmctl.
type process struct {
	cmd  *exec.Cmd
	log  *output
	exit chan error
}

func llmctl(t *testing.T, environ []string, args ...string) *process {
	t.Helper()
	path, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is not there; run `make build` first", path)
	}
	p := &process{cmd: exec.Command(path, args...), log: &output{more: make(chan struct{}, 1)}, exit: make(chan error, 1)}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.cmd.Dir, "LLMCTL_STUDIO_INTERNAL_BIND=off"}, environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	require.NoError(t, p.cmd.Start())
	go func() { p.exit <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.exit
	})
	return p
}

// stop asks the process to end, and expects that it does so well.
func (p *process) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-p.exit:
		require.NoError(t, err, p.log.String())
		p.exit <- nil
	case <-time.After(patience):
		require.Fail(t, "it does not stop", p.log.String())
	}
}

func database(uri string) []string {
	return []string{
		"LLMCTL_STUDIO_DATABASE_URI=" + uri, "LLMCTL_STUDIO_SECRET_KEY=" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
	}
}

// mcp starts llmctl mcp and gives its endpoint.
func mcp(t *testing.T, environ ...string) (*process, string) {
	t.Helper()
	p := llmctl(t, append(environ, "LLMCTL_MCP_HOST=127.0.0.1", "LLMCTL_MCP_PORT=0"), "mcp")
	return p, p.log.await(t, `ready: (http://\S+)`)[1]
}

// studio is a database with users, keys and a published flowchart, and a Studio that
// works what is started.
type studio struct {
	uri, url    string
	admin, view string
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	s := &studio{uri: pgtest.URI(t)}
	p := llmctl(t, append(database(s.uri), "LLMCTL_STUDIO_ADMIN_EMAIL=ada@example.com", "LLMCTL_STUDIO_ADMIN_PASSWORD=correct horse battery"),
		"up", "--no-browser", "--bind", "127.0.0.1:0")
	s.url = strings.TrimSuffix(p.log.await(t, `ready: (http://\S+)/web`)[1], "/")
	db, err := postgres.Open(t.Context(), postgres.Options{URI: s.uri})
	require.NoError(t, err)
	defer db.Close()
	service, err := auth.NewService(t.Context(), db, time.Now)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `INSERT INTO app_user (email, password_hash, role) SELECT 'eve@example.com', password_hash, 'viewer' FROM app_user`)
	require.NoError(t, err)
	users, err := service.ListUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	for _, u := range users {
		_, key, err := service.CreateKey(t.Context(), u.ID, "test")
		require.NoError(t, err)
		if u.Role == string(auth.Viewer) {
			s.view = key
		} else {
			s.admin = key
		}
	}
	return s
}

type m = map[string]any

// api sends a request to the HTTP API as the administrator.
func (s *studio) api(t *testing.T, method, path string, body any) m {
	t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/api"+path, bytes.NewReader(raw))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	res, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var out m
	require.NoError(t, json.NewDecoder(res.Body).Decode(&out))
	require.Less(t, res.StatusCode, 300, "%v", out)
	return out
}

// publish makes a flowchart that gives its input back a tool.
func (s *studio) publish(t *testing.T, name string) {
	t.Helper()
	made := s.api(t, http.MethodPost, "/flowcharts", m{"name": name, "graph": m{
		"nodes": []m{
			{"id": "start", "kind": "start", "config": m{"input_schema": m{
				"type": "object", "required": []string{"text"}, "properties": m{"text": m{"type": "string"}},
			}}},
			{"id": "end", "kind": "end"},
		},
		"edges": []m{{"id": "e1", "source": "start", "target": "end"}},
	}})
	id, err := json.Marshal(made["id"])
	require.NoError(t, err)
	s.api(t, http.MethodPut, "/flowcharts/"+string(id)+"/tool", m{"name": name, "description": "Gives the text back."})
}

// roundRobin sends each request to the next of the endpoints.
func roundRobin(t *testing.T, endpoints ...string) (string, *atomic.Int64) {
	t.Helper()
	var targets []*url.URL
	for _, e := range endpoints {
		u, err := url.Parse(e)
		require.NoError(t, err)
		targets = append(targets, u)
	}
	n := &atomic.Int64{}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL = targets[int(n.Add(1))%len(targets)]
	}}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return front.URL + "/mcp", n
}

// node runs a script of this folder, or one of the packages' programs.
func node(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	err := cmd.Run()
	if err != nil {
		t.Logf("node %v: %s", args, errors.String())
	}
	return out.String(), err
}

// silent is an address where nobody answers.
func silent(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}
