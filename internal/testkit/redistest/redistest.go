// Package redistest gives tests real Redis servers: one per test binary with
// channels of their own for most, and servers, Sentinel groups and Clusters of
// their own for tests that break them.
//
// Servers end with the test, or with the test binary however it ends. They keep
// nothing on disk that outlives the test.
package redistest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

const (
	patience = 20 * time.Second
	poll     = 10 * time.Millisecond
	tries    = 5 // another process may take a port that was just free
)

// keeper starts a server, says its process id, and ends it when the input ends.
const keeper = `
"$@" </dev/null >"$LOG" 2>&1 &
server=$!
echo $server
trap '' INT TERM HUP
while read -r line; do :; done
kill -CONT "$server" 2>/dev/null
kill -KILL "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ -z "$REMOVE" ] || rm -rf "$REMOVE"
`

// shared is made once per test binary.
//
//nolint:gochecknoglobals // see above
var (
	shared = sync.OnceValues(startShared)
	names  atomic.Int64
)

func startShared() (*Server, error) {
	dir, err := os.MkdirTemp("", "llmctl-testredis-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, remove: dir}
	return s, s.start()
}

// URL gives the address of the test binary's server, with channels that no other
// test has.
func URL(tb testing.TB) string {
	tb.Helper()
	s, err := shared()
	require.NoError(tb, err, "start a Redis for tests")
	return s.URL() + "?channel_prefix=" + Name()
}

// Name gives a name that no other test of this machine has.
func Name() string { return fmt.Sprintf("test-%d-%d", os.Getpid(), names.Add(1)) }

// Server is a server that a test may do anything to.
type Server struct {
	Port   int
	tls    bool
	args   []string
	dir    string
	remove string
	pid    int
	shell  *exec.Cmd
	input  io.Closer
}

// Start starts a server with further arguments.
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s := &Server{args: args, dir: tb.TempDir()}
	s.run(tb)
	return s
}

func (s *Server) run(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, s.start(), "start a Redis for this test")
	tb.Cleanup(s.end)
}

// URL gives the server's address.
func (s *Server) URL() string {
	if s.tls {
		return fmt.Sprintf("rediss://localhost:%d/0", s.Port)
	}
	return fmt.Sprintf("redis://127.0.0.1:%d/0", s.Port)
}

// Addr gives host and port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Client gives a client of a server without TLS, for looking and for harm.
func (s *Server) Client(tb testing.TB) *redis.Client {
	tb.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr()})
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Freeze makes the server stand still without closing anything.
func (s *Server) Freeze(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, syscall.Kill(s.pid, syscall.SIGSTOP))
}

// Thaw undoes Freeze.
func (s *Server) Thaw(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, syscall.Kill(s.pid, syscall.SIGCONT))
}

// Kill ends the server at once and waits until it is gone.
func (s *Server) Kill(tb testing.TB) {
	tb.Helper()
	s.end()
}

// Restart starts a killed server at the same port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, s.launch(), "start the Redis again")
}

func (s *Server) start() error {
	var err error
	for range tries {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(); err == nil {
			return nil
		}
	}
	return err
}

// freePort is one whose bus port, as a Cluster has it, can be one, too.
func freePort() (int, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // the network is tcp
		if err := l.Close(); err != nil || port <= 55000 {
			return port, err
		}
	}
}

func (s *Server) launch() error {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return fmt.Errorf("redis-server is missing, make deps-test installs it: %w", err)
	}
	command := append([]string{"-c", keeper, "sh", program}, s.args...)
	if len(s.args) == 0 || !strings.HasSuffix(s.args[0], ".conf") {
		command = append([]string{"-c", keeper, "sh", program}, s.settings()...)
	}
	log := filepath.Join(s.dir, fmt.Sprintf("redis-%d.log", s.Port))
	shell := exec.Command("/bin/sh", command...) //nolint:noctx // the pipe says when it ends
	shell.Dir, shell.Env = s.dir, append(os.Environ(), "LOG="+log, "REMOVE="+s.remove)
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := shell.StdinPipe()
	if err != nil {
		return err
	}
	output, err := shell.StdoutPipe()
	if err != nil {
		return err
	}
	if err := shell.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err == nil {
		s.pid, err = strconv.Atoi(strings.TrimSpace(line))
	}
	s.shell, s.input = shell, input
	if err == nil {
		err = s.awaitReady(log)
	}
	if err != nil {
		s.end()
	}
	return err
}

// settings keep nothing on disk.
func (s *Server) settings() []string {
	out := []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir, "--daemonize", "no"}
	if s.tls {
		out = append(out, "--port", "0", "--tls-port", strconv.Itoa(s.Port))
	} else {
		out = append(out, "--port", strconv.Itoa(s.Port))
	}
	return append(out, s.args...)
}

// awaitReady waits for the line that says so, or for the end.
func (s *Server) awaitReady(log string) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		text, _ := os.ReadFile(log)
		if strings.Contains(string(text), "eady to accept connections") || strings.Contains(string(text), "+monitor master") {
			return nil
		}
		if s.dead() {
			return fmt.Errorf("redis-server ended: %s", text)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("redis-server is not ready: %s", text)
		}
	}
}

// dead reports whether the server ended by itself; its keeper has not looked yet.
func (s *Server) dead() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	_, state, found := strings.Cut(string(stat), ") ")
	return err == nil && found && strings.HasPrefix(state, "Z")
}

func (s *Server) end() {
	if s.input == nil {
		return
	}
	_ = s.input.Close()
	_ = s.shell.Wait() // how the keeper ended is of no interest
	s.input = nil
	_ = os.Remove(filepath.Join(s.dir, fmt.Sprintf("redis-%d.log", s.Port)))
}

// Await waits until condition holds.
func Await(tb testing.TB, what string, condition func(ctx context.Context) bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*patience)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !condition(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			require.FailNow(tb, "it did not happen", what)
		}
	}
}
