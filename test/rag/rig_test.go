package rag

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres/embedded"
	"github.com/llmctl/studio/internal/testkit/freeport"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 90 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// rig is the team and what it works with.
type rig struct {
	t        *testing.T
	dir      string
	port     int
	server   *embedded.Server
	pool     *pgxpool.Pool
	provider *provider
	workers  []*proctest.Kept
	base     string
	client   *http.Client
	session  *http.Cookie
}

// newRig starts all of it. The database writes to disk in earnest.
func newRig(t *testing.T, workers int) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "llmctl-rag-") //nolint:usetesting // the server's account must pass through it
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	port, err := strconv.Atoi(freeport.Get(t))
	require.NoError(t, err)
	r := &rig{t: t, dir: dir, port: port, provider: newProvider(t), client: &http.Client{Timeout: 20 * time.Second}}
	r.startDatabase()
	t.Cleanup(func() {
		r.stopDatabase()
		require.NoError(t, embedded.Discard(embedded.Options{DataDir: dir}))
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, os.MkdirAll(r.files(), 0o755))
	bind := net.JoinHostPort("127.0.0.1", freeport.Get(t))
	r.base = "http://" + bind
	environ := []string{
		"LLMCTL_STUDIO_DATABASE_URI=" + r.server.URI(), "LLMCTL_STUDIO_DATA_DIR=" + filepath.Join(dir, "studio"),
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL=" + email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD=" + password, "LLMCTL_STUDIO_INTERNAL_BIND=off", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_WORKERS=1", "GUNICORN_BIND=" + bind, "GUNICORN_ACCESS_LOG=/dev/null", "LLMCTL_STUDIO_RAG_LOCAL_ROOTS=" + r.files() + "," + r.flow(),
	}
	proctest.Keep(t, "../..", []string{"serve"}, environ, patience)
	r.awaitReady()
	for range workers {
		r.workers = append(r.workers, proctest.Keep(t, "../..", []string{"worker"}, environ, patience))
	}
	proctest.Keep(t, "../..", []string{"beat"}, environ, patience)
	r.call(http.StatusOK, http.MethodPost, "/api/auth/login", map[string]any{"email": email, "password": password}, nil)
	r.pool, err = pgxpool.New(t.Context(), r.server.URI())
	require.NoError(t, err)
	t.Cleanup(r.pool.Close)
	return r
}

func (r *rig) files() string { return filepath.Join(r.dir, "files") }
func (r *rig) flow() string  { return filepath.Join(r.dir, "flow") }

func (r *rig) startDatabase() {
	r.t.Helper()
	var err error
	r.server, err = embedded.Start(context.WithoutCancel(r.t.Context()), embedded.Options{
		DataDir: r.dir, Port: r.port, Logger: slog.New(slog.DiscardHandler), Settings: []string{"max_connections=100"},
	})
	require.NoError(r.t, err)
}

func (r *rig) stopDatabase() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), patience)
	defer cancel()
	require.NoError(r.t, r.server.Stop(ctx))
}

// powerCut ends the database without a word, and starts it again.
func (r *rig) powerCut() {
	r.t.Helper()
	require.NoError(r.t, syscall.Kill(r.server.PID(), syscall.SIGQUIT))
	<-r.server.Done()
	r.stopDatabase()
	r.startDatabase()
}

// killHolder kills the worker that holds an attempt of a node.
func (r *rig) killHolder(node int64) {
	r.t.Helper()
	var pid int
	require.NoError(r.t, r.pool.QueryRow(r.t.Context(), `SELECT w.pid FROM node_attempt a JOIN worker_process w ON w.id = a.worker_process_id
		WHERE a.node_run_id = $1 AND a.finished_at IS NULL`, node).Scan(&pid))
	require.NoError(r.t, syscall.Kill(pid, syscall.SIGKILL))
}

func (r *rig) awaitReady() {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		status, _ := r.try(http.MethodGet, "/api/ready", nil)
		return status == http.StatusOK
	}, patience, 50*time.Millisecond)
}

func (r *rig) call(want int, method, path string, body, out any) {
	r.t.Helper()
	status, raw := r.try(method, path, body)
	require.Equal(r.t, want, status, "%s: %s", path, raw)
	if out != nil {
		require.NoError(r.t, json.Unmarshal(raw, out), "%s", raw)
	}
}

// try gives status 0 when nobody answered.
func (r *rig) try(method, path string, body any) (int, []byte) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.base+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	if r.session != nil {
		req.AddCookie(r.session)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	for _, c := range res.Cookies() {
		r.session = c
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}

// provider is a scripted embedding server that can go away.
type provider struct {
	*llmtest.Server
	url  string
	down atomic.Bool
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{Server: llmtest.New(t)}
	target, err := url.Parse(p.URL())
	require.NoError(t, err)
	pass := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	front := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if p.down.Load() {
			panic(http.ErrAbortHandler) // as a server does whose machine was switched off
		}
		pass.ServeHTTP(w, req)
		if p.down.Load() {
			panic(http.ErrAbortHandler)
		}
	})}
	go func() { _ = front.Serve(listener) }()
	t.Cleanup(func() { _ = front.Close() })
	p.url = "http://" + listener.Addr().String() + "/v1"
	return p
}

// modules are libraries whose files are indexed: documentation and sources.
func modules() []string {
	return []string{"github.com/riverqueue/river", "github.com/danielgtaylor/huma/v2", "github.com/pressly/goose/v3"}
}

// copyModules copies their texts, which lie in the module cache read-only.
func copyModules(t *testing.T, to string, limit int) int {
	t.Helper()
	n := 0
	for _, module := range modules() {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		require.NoError(t, err)
		from := strings.TrimSpace(string(out))
		require.NoError(t, filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
			ext := filepath.Ext(path)
			if err != nil || d.IsDir() || n >= limit || (ext != ".go" && ext != ".md" && ext != ".sql") {
				return err
			}
			rel, err := filepath.Rel(from, path)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			target := filepath.Join(to, filepath.Base(module), rel)
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				return err
			}
			n++
			return os.WriteFile(target, raw, 0o644)
		}))
	}
	return n
}

func decode[T any](t *testing.T, raw []byte) T {
	t.Helper()
	var v T
	require.NoError(t, json.Unmarshal(raw, &v), "%s", raw)
	return v
}
