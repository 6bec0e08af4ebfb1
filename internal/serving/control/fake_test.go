package control_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/control"
)

// fake is an arbiter that only remembers what it was told.
type fake struct {
	mu     sync.Mutex
	target int
	calls  []string
	fail   error         // of every method
	block  chan struct{} // Reopen waits for it, whatever its context says
	crash  bool          // Reload panics
}

func now() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func (f *fake) note(call string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
	return f.fail
}

func (f *fake) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.calls...)
}

func (f *fake) Snapshot(context.Context) (control.Snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return control.Snapshot{
		PID: 100, Started: now().Add(-3723 * time.Second), State: control.StateRunning,
		Target: f.target, Spawned: 7, Killed: 1, Reloads: 2,
		Workers: []control.Worker{
			{
				PID: 103, Age: 7, Started: now().Add(-2 * time.Second),
			},
			{
				PID: 101, Age: 5, Started: now().Add(-100 * time.Second), Booted: true, LastBeat: now().Add(-1234 * time.Millisecond),
				Requests: 4711, Active: 3, Connections: 12, Memory: 48 << 20,
			},
			{
				PID: 102, Age: 6, Started: now().Add(-99 * time.Second), Booted: true, Aborted: true, LastBeat: now().Add(-2 * time.Second),
			},
		},
		Listeners: []control.Listener{
			{Address: "http://127.0.0.1:5055", FD: 5, Type: "tcp"}, {Address: "unix:/run/llmctl.sock", FD: 6, Type: "unix"},
		},
	}, f.fail
}

func (f *fake) Config(context.Context) (control.Config, error) {
	return control.Config{
		Bind: []string{"127.0.0.1:5055", "unix:/run/llmctl.sock"}, Workers: 3, WorkerClass: "gthread", Timeout: 120 * time.Second,
		GracefulTimeout: 30 * time.Second, Keepalive: 2500 * time.Millisecond, MaxRequests: 1000, MaxRequestsJitter: 100,
		WorkerConnections: 10000, ProcName: "llmctl", ControlSocket: "/run/llmctl/gunicorn.ctl",
		Extra: map[string]any{"loglevel": "info", "workers": "never seen"},
	}, f.fail
}

func (f *fake) Connections(context.Context) ([]control.Connections, error) {
	return []control.Connections{
		{PID: 102, Age: 6, Error: "no answer within 2s"},
		{PID: 101, Age: 5, Open: 12, Active: 3, Idle: 4, Waiting: 1, WebSocket: 4, Polling: 1},
	}, f.fail
}

func (f *fake) Streams(context.Context) ([]control.Streams, error) {
	return []control.Streams{
		{PID: 102, Age: 6, Reason: "the canary is late", Bus: "redis"},
		{
			PID: 101, Age: 5, Ready: true, Bus: "redis", Connections: 5, Rooms: 3, Streams: 2,
			Delivered: 900, Replayed: 7, FromLog: 1, LastSweep: now().Add(-400 * time.Millisecond),
		},
	}, f.fail
}

func (f *fake) Resize(_ context.Context, delta int) (previous, total int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.target+delta > 64 {
		return 0, 0, errs.E(errs.Invalid, "serving.too_many", "at most 64 workers")
	}
	previous = f.target
	f.target = max(1, f.target+delta)
	return previous, f.target, f.fail
}

func (f *fake) KillWorker(_ context.Context, pid int) error {
	if pid != 101 {
		return control.ErrNoWorker
	}
	return f.note("kill")
}

func (f *fake) Reload(context.Context) error {
	if f.crash {
		panic("boom")
	}
	return f.note("reload")
}

func (f *fake) Reopen(context.Context) error {
	if f.block != nil {
		_ = f.note("blocked")
		<-f.block
	}
	return f.note("reopen")
}

func (f *fake) Stop(_ context.Context, mode control.StopMode) error {
	return f.note(map[control.StopMode]string{
		control.StopDrain: "drain", control.StopGraceful: "graceful", control.StopQuick: "quick",
	}[mode])
}

// testBundle is a server on a real socket.
type testBundle struct {
	fake    *fake
	path    string
	stop    func() // ends the server and waits for it
	mu      sync.Mutex
	entries []control.Entry
}

func (b *testBundle) audited() []control.Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]control.Entry{}, b.entries...)
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ctl") //nolint:usetesting // the test's own folder has too long a path for a socket
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func setup(t *testing.T, change ...func(o *control.Options, f *fake)) *testBundle {
	t.Helper()
	b := &testBundle{fake: &fake{target: 3}, path: filepath.Join(shortDir(t), "gunicorn.ctl")}
	socket, ok := control.Listen(t.Context(), control.SocketOptions{Path: b.path, Mode: 0o600, Logger: slog.New(slog.DiscardHandler)})
	require.True(t, ok)
	o := control.Options{
		Socket: socket, Arbiter: b.fake, Logger: slog.New(slog.DiscardHandler), Now: now,
		Audit: func(_ context.Context, e control.Entry) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.entries = append(b.entries, e)
		},
	}
	for _, f := range change {
		f(&o, b.fake)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- control.NewServer(o).Run(ctx, func() { close(ready) }) }()
	<-ready
	b.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(b.stop)
	return b
}

// client connects; its deadline is far off.
func (b *testBundle) client(t *testing.T) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), b.path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
