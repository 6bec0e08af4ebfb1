package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres/embedded"
	"github.com/llmctl/studio/internal/testkit/freeport"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	patience = 60 * time.Second
	email    = "ada@example.com"
	password = "correct horse battery"
)

// database is a server that the test may restart; it writes to disk in earnest.
type database struct {
	t      *testing.T
	dir    string
	port   int
	server *embedded.Server
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	// The server's account must pass through the folder.
	dir, err := os.MkdirTemp("", "llmctl-chaos-") //nolint:usetesting // see above
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711))
	port, err := strconv.Atoi(freeport.Get(t))
	require.NoError(t, err)
	d := &database{t: t, dir: dir, port: port}
	d.start()
	t.Cleanup(func() {
		d.stop()
		require.NoError(t, embedded.Discard(embedded.Options{DataDir: dir}))
		_ = os.RemoveAll(dir)
	})
	return d
}

func (d *database) start() {
	d.t.Helper()
	var err error
	d.server, err = embedded.Start(context.WithoutCancel(d.t.Context()), embedded.Options{
		DataDir: d.dir, Port: d.port, Logger: slog.New(slog.DiscardHandler), Settings: []string{"max_connections=200"},
	})
	require.NoError(d.t, err)
}

func (d *database) stop() {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), patience)
	defer cancel()
	require.NoError(d.t, d.server.Stop(ctx))
}

// crash ends the server as a power cut would.
func (d *database) crash() {
	d.t.Helper()
	require.NoError(d.t, syscall.Kill(d.server.PID(), syscall.SIGQUIT))
	<-d.server.Done()
	d.stop()
}

// cut ends all connections but the one that asks.
func (d *database) cut() {
	d.t.Helper()
	conn, err := pgx.Connect(d.t.Context(), d.server.URI())
	require.NoError(d.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(d.t.Context())) }()
	_, err = conn.Exec(d.t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(d.t, err)
}

func (d *database) pool() *pgxpool.Pool {
	d.t.Helper()
	pool, err := pgxpool.New(d.t.Context(), d.server.URI())
	require.NoError(d.t, err)
	d.t.Cleanup(pool.Close)
	return pool
}

// member is one process of the team. Whoever ends it finds it started anew, as
// Kubernetes or systemd would.
type member struct {
	t       *testing.T
	command []string
	environ []string
	log     *proctest.Output

	mu     sync.Mutex
	cmd    *exec.Cmd
	pids   []int // all it ever had
	over   bool
	ended  chan struct{} // closed when the supervisor has ended
	frozen bool
}

func start(t *testing.T, environ []string, command ...string) *member {
	t.Helper()
	m := &member{t: t, command: command, environ: environ, log: &proctest.Output{}, ended: make(chan struct{})}
	require.NoError(t, m.launch())
	go m.supervise()
	t.Cleanup(m.stop)
	return m
}

func (m *member) launch() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return context.Canceled
	}
	m.cmd = exec.Command(m.command[0], m.command[1:]...)
	m.cmd.Env, m.cmd.Stdout, m.cmd.Stderr = m.environ, m.log, m.log
	if err := m.cmd.Start(); err != nil {
		return err
	}
	m.pids = append(m.pids, m.cmd.Process.Pid)
	m.frozen = false
	return nil
}

func (m *member) supervise() {
	defer close(m.ended)
	for {
		_ = m.cmd.Wait() // only this goroutine and launch, which it calls, touch cmd's life
		if err := m.launch(); err != nil {
			return
		}
	}
}

// signal gives the number of the process that it was sent to.
func (m *member) signal(s syscall.Signal) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	_ = m.cmd.Process.Signal(s)
	switch s {
	case syscall.SIGSTOP:
		m.frozen = true
	case syscall.SIGCONT:
		m.frozen = false
	default:
	}
	return m.cmd.Process.Pid
}

func (m *member) isFrozen() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.frozen
}

func (m *member) stop() {
	m.mu.Lock()
	m.over = true
	_ = m.cmd.Process.Signal(syscall.SIGCONT)
	_ = m.cmd.Process.Signal(syscall.SIGTERM)
	m.mu.Unlock()
	select {
	case <-m.ended:
	case <-time.After(patience):
		m.t.Errorf("%s does not end", strings.Join(m.command, " "))
		m.mu.Lock()
		_ = m.cmd.Process.Kill()
		m.mu.Unlock()
		<-m.ended
	}
	if m.t.Failed() {
		m.t.Logf("%s:\n%s", strings.Join(m.command, " "), tail(m.log.String(), 20_000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// studio is the whole team.
type studio struct {
	t       *testing.T
	base    string
	binary  string
	environ []string
	client  *http.Client
	session *http.Cookie
	db      *database
	workers []*member
	beats   []*member
}

// newStudio starts a web process and waits until it serves.
func newStudio(t *testing.T, workers, beats int) *studio {
	t.Helper()
	binary, err := filepath.Abs("../../bin/llmctl")
	require.NoError(t, err)
	_, err = os.Stat(binary)
	require.NoError(t, err, "run `make build` first")
	s := &studio{t: t, binary: binary, db: newDatabase(t), client: &http.Client{Timeout: 20 * time.Second}}
	bind := net.JoinHostPort("127.0.0.1", freeport.Get(t))
	s.base = "http://" + bind
	for _, pair := range os.Environ() {
		if !slices.ContainsFunc([]string{"LLMCTL_", "GUNICORN_", "CELERY_", "NOTIFY_"}, func(p string) bool { return strings.HasPrefix(pair, p) }) {
			s.environ = append(s.environ, pair)
		}
	}
	data := filepath.Join(s.db.dir, "studio")
	require.NoError(t, os.Mkdir(data, 0o711)) // scripts run under an account of their own
	s.environ = append(s.environ,
		"LLMCTL_STUDIO_DATABASE_URI="+s.db.server.URI(), "LLMCTL_STUDIO_DATA_DIR="+data,
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "LLMCTL_STUDIO_ADMIN_EMAIL="+email,
		"LLMCTL_STUDIO_ADMIN_PASSWORD="+password, "LLMCTL_STUDIO_INTERNAL_BIND=off", "GUNICORN_CONTROL_SOCKET_DISABLE=true",
		"GUNICORN_WORKERS=2", "GUNICORN_BIND="+bind, "GUNICORN_ACCESS_LOG=/dev/null", "LLMCTL_STUDIO_SCRIPT_NODES=true")
	start(t, s.environ, binary, "serve")
	s.awaitReady()
	for range workers {
		s.workers = append(s.workers, start(t, s.environ, binary, "worker"))
	}
	for range beats {
		s.beats = append(s.beats, start(t, s.environ, binary, "beat"))
	}
	s.call(http.StatusOK, "/api/auth/login", map[string]any{"email": email, "password": password}, nil)
	return s
}

// awaitReady asks until the web process answers that it is ready.
func (s *studio) awaitReady() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		status, _ := s.try(http.MethodGet, "/api/ready", nil, "")
		return status == http.StatusOK
	}, patience, 50*time.Millisecond)
}

func (s *studio) call(want int, path string, body, out any) {
	s.t.Helper()
	status, raw := s.try(http.MethodPost, path, body, "")
	require.Equal(s.t, want, status, "%s: %s", path, raw)
	if out != nil {
		require.NoError(s.t, json.Unmarshal(raw, out), "%s", raw)
	}
}

// try gives status 0 when nobody answered.
func (s *studio) try(method, path string, body any, key string) (int, []byte) {
	raw, err := json.Marshal(body)
	if err != nil {
		return 0, nil
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.base+path, bytes.NewReader(raw))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	if s.session != nil {
		req.AddCookie(s.session)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	for _, c := range res.Cookies() {
		s.session = c
	}
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, answer
}
