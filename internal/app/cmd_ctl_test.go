package app_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
	"github.com/llmctl/studio/internal/serving/control"
)

// steered is an arbiter with one worker that forgets what it is told.
type steered struct{ control.Arbiter }

func (steered) Snapshot(context.Context) (control.Snapshot, error) {
	now := time.Now()
	return control.Snapshot{
		PID: 100, Started: now.Add(-90 * time.Second), State: control.StateRunning, Target: 2, Spawned: 3,
		Workers: []control.Worker{
			{PID: 101, Age: 1, Started: now.Add(-90 * time.Second), Booted: true, LastBeat: now, Requests: 4711, Active: 2, Connections: 9, Memory: 50 << 20},
			{PID: 105, Age: 3, Started: now},
		},
		Listeners: []control.Listener{{Address: "http://127.0.0.1:5055", FD: 3, Type: "tcp"}},
	}, nil
}

func (steered) Config(context.Context) (control.Config, error) {
	return control.Config{Bind: []string{"127.0.0.1:5055", "unix:/run/s"}, Workers: 2, Timeout: 2 * time.Minute, WorkerClass: "gthread"}, nil
}

func (steered) Connections(context.Context) ([]control.Connections, error) {
	return []control.Connections{{PID: 101, Age: 1, Open: 9, Active: 2, Idle: 3, WebSocket: 4}, {PID: 105, Age: 3, Error: "no answer within 2s"}}, nil
}

func (steered) Streams(context.Context) ([]control.Streams, error) {
	return []control.Streams{{PID: 101, Age: 1, Ready: true, Bus: "postgres", Connections: 4, Rooms: 2, Streams: 2, Delivered: 90}}, nil
}

func (steered) Resize(_ context.Context, delta int) (previous, total int, err error) {
	return 2, 2 + delta, nil
}
func (steered) KillWorker(context.Context, int) error        { return control.ErrNoWorker }
func (steered) Reload(context.Context) error                 { return nil }
func (steered) Stop(context.Context, control.StopMode) error { return nil }

// steeredSocket serves steered and gives the path.
func steeredSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") //nolint:usetesting // the test's own folder has too long a path for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "gunicorn.ctl")
	log := slog.New(slog.DiscardHandler)
	socket, ok := control.Listen(t.Context(), control.SocketOptions{Path: path, Mode: 0o600, Logger: log})
	require.True(t, ok)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	server := control.NewServer(control.Options{Socket: socket, Arbiter: steered{}, Logger: log, Now: time.Now})
	go func() { done <- server.Run(ctx, func() {}) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return path
}

func TestCtlShowsTables(t *testing.T) {
	t.Parallel()
	path := steeredSocket(t)
	for command, want := range map[string][]string{
		"show all": {
			"Arbiter 100, running, 2 workers", "PID  AGE  STATE     UPTIME  REQUESTS  ACTIVE  CONNECTIONS  MEMORY    LAST BEAT",
			"101  1    serving   1m 30s  4711      2       9            50.0 MiB  0.0s ago", "105  3    starting  0s      0         0       0            -         -",
		},
		"show workers":     {"101  1    serving"},
		"show stats":       {"Workers      2 of 2", "Uptime       1m 30s", "Requests     4711"},
		"show listeners":   {"http://127.0.0.1:5055  tcp   3"},
		"show config":      {"bind                    127.0.0.1:5055, unix:/run/s", "pidfile                 -", "timeout                 120"},
		"show connections": {"101    1    9     2       3     0        4          0", "105    3    -     -", "total       9     2       3     0        4          0", "worker 105: no answer within 2s"},
		"show streams":     {"101  1    ready  postgres  4            2"},
		"show dirty":       {"no dirty workers"},
		"help":             {"worker kill <PID>", "drain"},
		"worker add 2":     {"Workers: 2 before, 4 from now on."},
		"worker remove":    {"Workers: 2 before, 1 from now on."},
		"reload":           {"Reloading"},
		"drain":            {"Draining"},
		"shutdown quick":   {"Shutting down (quick)."},
	} {
		code, stdout, stderr := run(t, nil, append([]string{"ctl", "--socket", path}, strings.Fields(command)...)...)
		require.Equal(t, 0, code, "%s: %s", command, stderr)
		for _, text := range want {
			require.Contains(t, stdout, text, command)
		}
	}
}

func TestCtlFindsTheSocketInTheDataFolderAndSpeaksJSON(t *testing.T) {
	t.Parallel()
	path := steeredSocket(t)
	code, stdout, stderr := run(t, []string{"LLMCTL_STUDIO_DATA_DIR=" + filepath.Dir(path)}, "ctl", "--json", "worker", "add")
	require.Equal(t, 0, code, stderr)
	require.JSONEq(t, `{"added":1,"previous":2,"total":3}`, stdout)
	code, stdout, _ = run(t, []string{"GUNICORN_CONTROL_SOCKET=" + path}, "ctl", "--json", "worker", "kill", "7")
	require.Equal(t, 1, code)
	require.JSONEq(t, `{"success":false,"error":"Worker 7 not found"}`, stdout)
}

func TestCtlRepeatsUntilInterrupted(t *testing.T) {
	t.Parallel()
	path := steeredSocket(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := &interrupting{after: 3, cancel: cancel}
	code := mainWith(ctx, out, "ctl", "--socket", path, "--every", "1ms", "show", "stats")
	require.Equal(t, 0, code)
	require.GreaterOrEqual(t, out.writes, 3)
	require.NotContains(t, out.last, "\x1b", "no terminal, no control codes")
}

func TestCtlSaysWhyItFailed(t *testing.T) {
	t.Parallel()
	path := steeredSocket(t)
	dir := filepath.Dir(path)
	dead := filepath.Join(dir, "dead.ctl")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--socket", path, "worker", "kill", "7"}, 1, "llmctl: Worker 7 not found\n"},
		{[]string{"--socket", path, "relod"}, 1, "llmctl: Invalid argument: Unknown command: relod. Did you mean reload?\n"},
		{[]string{"--socket", path, "worker", "remove", "--", "-1"}, 1, "takes a whole number from 1 to 1024; got -1"},
		{[]string{"--socket", filepath.Join(dir, "none"), "show", "all"}, 1, "There is no control socket at " + filepath.Join(dir, "none") + ". Start the server with llmctl serve"},
		{[]string{"--socket", dead, "show", "all"}, 1, "the server that made it has ended"},
		{[]string{"--socket", strings.Repeat("x", 200), "show", "all"}, 1, "200 bytes"},
		{nil, 2, "llmctl ctl show all"},
		{[]string{"--every", "1s", "reload"}, 2, "--every is for show only"},
		{[]string{"--timeout", "0s", "show", "all"}, 2, "--timeout"},
	} {
		code, stdout, stderr := run(t, nil, append([]string{"ctl"}, c.args...)...)
		require.Equal(t, c.code, code, c.args)
		require.Contains(t, stderr, c.want)
		require.Empty(t, stdout)
	}
	code, _, stderr := run(t, []string{"GUNICORN_CONTROL_SOCKET_DISABLE=true"}, "ctl", "show", "all")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "switched off by GUNICORN_CONTROL_SOCKET_DISABLE")
}

// interrupting ends a context after some writes.
type interrupting struct {
	after, writes int
	last          string
	cancel        context.CancelFunc
}

func (w *interrupting) Write(p []byte) (int, error) {
	w.last = string(p)
	if w.writes++; w.writes == w.after {
		w.cancel()
	}
	return len(p), nil
}

func mainWith(ctx context.Context, stdout io.Writer, args ...string) int {
	return app.Main(ctx, app.Edge{Args: args, Stdin: strings.NewReader(""), Stdout: stdout, Stderr: io.Discard, Now: time.Now})
}
