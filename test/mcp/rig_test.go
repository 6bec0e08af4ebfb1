package mcp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/mcp/client"
)

var installing sync.Mutex // one installation for all tests

// install gets the packages of package.json, once.
func install(t *testing.T) {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	if _, err := os.Stat(filepath.Join("node_modules", "@modelcontextprotocol", "sdk", "package.json")); err == nil {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Run(), "npm ci: %s", &out)
}

func node(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("node")
	require.NoError(t, err, "Node is needed, as for everything else here")
	return path
}

// server is a running server of the SDK that is reached by HTTP.
type server struct {
	mode string
	port int
	cmd  *exec.Cmd
	done chan struct{}
}

func startServer(t *testing.T, mode string, port int, environ ...string) *server {
	t.Helper()
	install(t)
	s := &server{mode: mode, done: make(chan struct{})}
	s.cmd = exec.Command(node(t), "server.mjs", mode, strconv.Itoa(port)) // ended below
	s.cmd.Env = append(os.Environ(), environ...)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	first := make(chan int, 1)
	go func() {
		defer close(s.done)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var said struct {
				At   string `json:"at"`
				Port int    `json:"port"`
			}
			if json.Unmarshal(lines.Bytes(), &said) == nil && said.At == "listening" {
				first <- said.Port
			}
		}
		_ = s.cmd.Wait()
	}()
	select {
	case s.port = <-first:
	case <-time.After(20 * time.Second):
		t.Fatal("the server does not listen")
	}
	return s
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *server) spec() client.Spec {
	path := "/mcp"
	if s.mode == "sse" {
		path = "/sse"
	}
	spec := client.Spec{ID: int64(s.port), Revision: 1, Key: "scripted", Transport: client.StreamableHTTP, URL: "http://127.0.0.1:" + strconv.Itoa(s.port) + path}
	if s.mode == "sse" {
		spec.Transport = client.SSE
	}
	return spec
}

func program(t *testing.T, environ map[string]string) client.Spec {
	t.Helper()
	install(t)
	script, err := filepath.Abs("server.mjs")
	require.NoError(t, err)
	return client.Spec{ID: 1, Revision: 1, Key: "scripted", Transport: client.Stdio, Command: node(t), Args: []string{script, "stdio"}, Env: environ}
}

func pool(t *testing.T, change ...func(*client.Options)) *client.Pool {
	t.Helper()
	allow, err := egress.New([]string{"127.0.0.1"})
	require.NoError(t, err)
	o := client.Options{
		HTTP: client.NewHTTPClient(allow), Programs: client.Programs{Allowed: true, Root: t.TempDir()}, Version: "test",
		Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&o)
	}
	p := client.NewPool(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx, func() {}) }()
	t.Cleanup(func() { cancel(); <-ended; o.HTTP.CloseIdleConnections() })
	return p
}

func session(t *testing.T, p *client.Pool, spec client.Spec) *client.Session {
	t.Helper()
	lease := p.Lease()
	t.Cleanup(lease.Close)
	s, err := lease.Session(spec)
	require.NoError(t, err)
	return s
}

// each runs a test over every transport.
func each(t *testing.T, f func(t *testing.T, p *client.Pool, spec client.Spec)) {
	t.Helper()
	for _, mode := range []string{"http", "sse", "stdio"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			if mode == "stdio" {
				f(t, pool(t), program(t, nil))
				return
			}
			f(t, pool(t), startServer(t, mode, 0).spec())
		})
	}
}

func call(t *testing.T, s *client.Session, tool, args string) client.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	res, err := s.Call(ctx, tool, json.RawMessage(args), nil)
	require.NoError(t, err)
	return res
}
