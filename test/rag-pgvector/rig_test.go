package ragpgvector

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
)

// patience bounds the start of the server: the WebAssembly is compiled each time.
const patience = 90 * time.Second

// server is started once for all tests: it takes some seconds, and it is one database.
var server = sync.OnceValues(start)

type running struct {
	cmd *exec.Cmd
	uri string // all connections are one session, which can have a prepared statement's name only once
}

func TestMain(m *testing.M) {
	code := m.Run()
	if s, err := server(); err == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
	os.Exit(code)
}

func start() (*running, error) {
	if err := install(); err != nil {
		return nil, err
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("Node is needed, as for everything else here: %w", err)
	}
	cmd := exec.Command(node, "server.mjs")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := cmd.StdinPipe(); err != nil { // it ends with this process
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	port, err := firstLine(out)
	if err != nil {
		_ = cmd.Process.Kill()
		return nil, err
	}
	s := &running{cmd: cmd, uri: "postgresql://postgres:postgres@127.0.0.1:" + port + "/postgres?sslmode=disable&default_query_exec_mode=cache_describe"}
	return s, migrate(s.uri)
}

func firstLine(out interface{ Read(p []byte) (int, error) }) (port string, err error) {
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(out).ReadString('\n')
		line <- text
	}()
	select {
	case text := <-line:
		port, found := strings.CutPrefix(strings.TrimSpace(text), "port ")
		if !found {
			return "", fmt.Errorf("PGlite did not start: %q", text)
		}
		return port, nil
	case <-time.After(patience):
		return "", fmt.Errorf("PGlite did not start within %s", patience)
	}
}

// install gets the packages of package.json, if they are missing.
func install() error {
	if _, err := os.Stat(filepath.Join("node_modules", "@electric-sql", "pglite-pgvector", "package.json")); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("npm ci: %w: %s", err, &out)
	}
	return nil
}

// migrate runs the Studio's migrations, those of the queue included.
func migrate(uri string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	db, err := postgres.Open(ctx, postgres.Options{URI: uri, MaxConns: 4})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx, slog.New(slog.DiscardHandler))
}

func database(tb testing.TB) *postgres.DB {
	tb.Helper()
	s, err := server()
	require.NoError(tb, err)
	db, err := postgres.Open(tb.Context(), postgres.Options{URI: s.uri, MaxConns: 3})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	return db
}
