package bustest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
)

// Server is a PostgreSQL server for the tests of one package.
type Server struct {
	uri  string
	stop func()
	next atomic.Int64
}

// StartServer uses the server at LLMCTL_TEST_DATABASE_URI, or starts one of its
// own that Stop ends. Call it from TestMain.
func StartServer(ctx context.Context) (*Server, error) {
	if uri := os.Getenv("LLMCTL_TEST_DATABASE_URI"); uri != "" { //nolint:forbidigo // only for tests
		return &Server{uri: uri, stop: func() {}}, nil
	}
	return startOwn(ctx)
}

// Stop ends a server that StartServer started.
func (s *Server) Stop() { s.stop() }

func startOwn(ctx context.Context) (*Server, error) {
	matches, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(matches) == 0 {
		return nil, fmt.Errorf("no PostgreSQL here: set LLMCTL_TEST_DATABASE_URI")
	}
	bin := filepath.Dir(matches[len(matches)-1])
	dir, err := os.MkdirTemp("", "bustest")
	if err != nil {
		return nil, fmt.Errorf("make data folder: %w", err)
	}
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // another user's server lives in it
		return nil, fmt.Errorf("open data folder: %w", err)
	}
	data := filepath.Join(dir, "data")
	init := unprivileged(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale")
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	server := unprivileged(ctx, filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off",
		"-c", "max_connections=200", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	var stderr bytes.Buffer
	server.Stderr = &stderr
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	s := &Server{
		uri: fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port),
		stop: func() {
			_ = server.Process.Signal(syscall.SIGINT)
			_ = server.Wait()
			_ = os.RemoveAll(dir)
		},
	}
	if err := s.wait(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("%w: %s", err, stderr.String())
	}
	return s, nil
}

// unprivileged runs a command as the user postgres when we are root, as whom
// the server refuses to run.
func unprivileged(ctx context.Context, name string, args ...string) *exec.Cmd {
	if os.Getuid() == 0 {
		args = append([]string{"--reuid=postgres", "--regid=postgres", "--init-groups", name}, args...)
		name = "setpriv"
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = "/"
	return cmd
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a port: %w", err)
	}
	return strconv.Atoi(port)
}

func (s *Server) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.uri)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for server: %w", err)
		case <-ticker.C:
		}
	}
}

// DB makes a database of its own with the full schema.
func (s *Server) DB(t *testing.T) *postgres.DB {
	t.Helper()
	ctx := t.Context()
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), s.next.Add(1))
	admin, err := pgx.Connect(ctx, s.uri)
	require.NoError(t, err)
	_, err = admin.Exec(ctx, "CREATE DATABASE "+name)
	require.NoError(t, err)
	require.NoError(t, admin.Close(ctx))
	cfg, err := pgx.ParseConfig(s.uri)
	require.NoError(t, err)
	db, err := postgres.Open(ctx, postgres.Options{
		URI: fmt.Sprintf("host=%s port=%d user=%s password='%s' dbname=%s sslmode=disable",
			cfg.Host, cfg.Port, cfg.User, cfg.Password, name),
		MaxConns: 32,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		db.Close()
		s.drop(context.WithoutCancel(ctx), t, name)
	})
	require.NoError(t, db.Migrate(ctx, slog.New(slog.DiscardHandler)))
	return db
}

func (s *Server) drop(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	admin, err := pgx.Connect(ctx, s.uri)
	if err != nil {
		return // the whole server may be gone already
	}
	_, err = admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	require.NoError(t, err)
	require.NoError(t, admin.Close(ctx))
}
