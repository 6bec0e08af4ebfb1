package embedded

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say where the server lives.
type Options struct {
	DataDir     string   // of the Studio, absolute
	BinDir      string   // only look here, if set
	NodeModules []string // folders that may hold the npm package
	Settings    []string // further "name=value" for the server, e.g. fsync=off in tests
	Logger      *slog.Logger
}

// Server is a running PostgreSQL server of ours.
type Server struct {
	uri  string
	data string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{} // closed when the process has ended
	stop sync.Once
}

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
	superuser    = "llmctl"
	database     = "llmctl_studio"
)

// Start brings the server up: it makes the data if there is none, gets rid of a
// server that an earlier process left running, starts its own and waits until it
// answers. The errors tell what to do.
func Start(ctx context.Context, o Options) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.DataDir, 0o755); err != nil { //nolint:gosec // the account must pass through it; secrets in it have modes of their own
		return nil, fmt.Errorf("make data dir: %w", err)
	}
	root, err := home(o.DataDir, who)
	if err != nil {
		return nil, err
	}
	major, err := existing(root)
	if err != nil {
		return nil, err
	}
	bin, err := find(ctx, o, major)
	if err != nil {
		return nil, err
	}
	s := &Server{data: filepath.Join(root, strconv.Itoa(bin.major)), out: &tail{}, done: make(chan struct{})}
	if err := s.prepare(ctx, bin, root, who, major == 0); err != nil {
		return nil, err
	}
	if err := s.evict(ctx, o.Logger); err != nil {
		return nil, err
	}
	if err := s.launch(ctx, o, bin, root, who); err != nil {
		return nil, err
	}
	return s, nil
}

// URI is the address of the Studio's database; it holds the password.
func (s *Server) URI() string { return s.uri }

// prepare makes the data directory with a random password.
func (s *Server) prepare(ctx context.Context, bin binaries, root string, who *account, fresh bool) error {
	if !fresh {
		return nil
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return fmt.Errorf("make database folder: %w", err)
	}
	if err := who.own(root); err != nil {
		return fmt.Errorf("give database folder to %s: %w", who.name, err)
	}
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails
	secret := filepath.Join(root, "password")
	if err := os.WriteFile(secret, []byte(hex.EncodeToString(raw)), 0o600); err != nil {
		return fmt.Errorf("write database password: %w", err)
	}
	if err := who.own(secret); err != nil {
		return fmt.Errorf("give database password to %s: %w", who.name, err)
	}
	// A crash in the middle of initdb must not leave something that looks like data.
	making := s.data + ".new"
	if err := os.RemoveAll(making); err != nil {
		return fmt.Errorf("remove unfinished database: %w", err)
	}
	cmd := exec.CommandContext(ctx, bin.tool("initdb"), "-D", making, "-U", superuser, "--pwfile", secret, //nolint:gosec // our own folders
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-instructions")
	s.as(cmd, who, root)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	if err := os.Rename(making, s.data); err != nil {
		return fmt.Errorf("finish database: %w", err)
	}
	return nil
}

// as makes a command run under the server's account and in its own session, so
// that a terminal's Ctrl-C is not also the server's.
func (s *Server) as(cmd *exec.Cmd, who *account, dir string) {
	cmd.Dir = dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=" + dir, "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if who != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: who.uid, Gid: who.gid}
	}
}

// evict stops a server that still runs on this data. The caller holds the data
// dir's lock, so nobody else of us uses it.
func (s *Server) evict(ctx context.Context, log *slog.Logger) error {
	file := filepath.Join(s.data, "postmaster.pid")
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read postmaster.pid: %w", err)
	}
	lines := strings.Split(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err == nil && pid > 1 && s.isOurs(pid) {
		log.WarnContext(ctx, "stopping a database server that an earlier process left running", "pid", pid)
		if err := endProcess(ctx, pid); err != nil {
			return err
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove stale postmaster.pid: %w", err)
	}
	return nil
}

// isOurs tells a left-over server from a process that got its number since.
func (s *Server) isOurs(pid int) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	return bytes.Contains(cmdline, []byte("postgres")) && bytes.Contains(cmdline, []byte(s.data))
}

// endProcess asks for a fast shutdown and waits; an immediate one after that.
func endProcess(ctx context.Context, pid int) error {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		if waitGone(ctx, pid, stopTimeout/2) {
			return nil
		}
	}
	return fmt.Errorf("database server %d does not end", pid)
}

func waitGone(ctx context.Context, pid int, limit time.Duration) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (s *Server) launch(ctx context.Context, o Options, bin binaries, root string, who *account) error {
	password, err := os.ReadFile(filepath.Join(root, "password"))
	if err != nil {
		return fmt.Errorf("read database password: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	args := []string{
		"-D", s.data, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + strconv.Itoa(port), "-c", "unix_socket_directories=",
		"-c", "max_connections=120", "-c", "shared_buffers=128MB", "-c", "synchronous_commit=on", "-c", "log_timezone=UTC",
	}
	for _, setting := range o.Settings {
		args = append(args, "-c", setting)
	}
	s.cmd = exec.Command(bin.tool("postgres"), args...) //nolint:gosec,noctx // its life is Stop's, not the context's
	s.as(s.cmd, who, root)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := startBound(s.cmd, s.done); err != nil {
		return fmt.Errorf("start database server: %w", err)
	}
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(superuser, string(password)), Host: "127.0.0.1:" + strconv.Itoa(port), Path: "/" + database}
	s.uri = u.String()
	if err := s.await(ctx, u); err != nil {
		s.Stop(context.WithoutCancel(ctx))
		return err
	}
	return nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a port for the database: %w", err)
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	return addr.Port, l.Close()
}

// await waits until the server answers, and makes the Studio's database in it.
func (s *Server) await(ctx context.Context, u url.URL) error {
	u.Path = "/postgres"
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, u.String())
		if err == nil {
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
			return ensureDatabase(ctx, conn)
		}
		select {
		case <-s.done:
			return fmt.Errorf("the database server ended at once: %s", s.out)
		case <-ctx.Done():
			return fmt.Errorf("the database server did not answer in time: %w: %s", err, s.out)
		case <-tick.C:
		}
	}
}

func ensureDatabase(ctx context.Context, conn *pgx.Conn) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, database).Scan(&there); err != nil {
		return fmt.Errorf("look for the Studio's database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+database); err != nil {
		return fmt.Errorf("create the Studio's database: %w", err)
	}
	return nil
}

// Done is closed when the server has ended, by Stop or otherwise.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server: fast shutdown, and harder if that takes too long.
func (s *Server) Stop(ctx context.Context) {
	s.stop.Do(func() {
		_ = endProcess(ctx, s.cmd.Process.Pid)
		select {
		case <-s.done:
		case <-ctx.Done():
		}
	})
}

// tail keeps the end of what the server said, for error messages.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	const keep = 4 << 10
	t.buf = append(t.buf, p...)
	if len(t.buf) > keep {
		t.buf = t.buf[len(t.buf)-keep:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
