package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain also is the master and the workers of the process tests: they are this
// binary, started again.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "test-master":
			os.Exit(testMaster(os.Args[2:]))
		case "test-worker":
			os.Exit(testWorker(os.Args[2:]))
		case "test-orphan":
			os.Exit(testOrphan(os.Args[2]))
		case "test-reaper":
			os.Exit(testReaper(os.Args[2:]))
		}
	}
	goleak.VerifyTestMain(m)
}

// rigSettings are what a test configures, in a file that the master reads again at
// each reload.
type rigSettings struct {
	Bind        []string
	Workers     int
	Timeout     time.Duration
	Grace       time.Duration
	Keepalive   time.Duration
	Connections int
	Threads     int
	MaxRequests int
	Label       string // what the workers answer
	Refuse      string // Load fails with that
}

func loadRig(path string) (rigSettings, error) {
	var s rigSettings
	raw, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return s, err
	}
	if s.Refuse != "" {
		return s, errors.New(s.Refuse)
	}
	return s, nil
}

func rigLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", os.Getpid())
}

// testMaster is a master; its arguments are the settings' file and what an earlier
// master passed on.
func testMaster(args []string) int {
	log, path := rigLog(), args[0]
	var from struct {
		Channel int
		Sockets []Socket
	}
	if len(args) > 1 {
		if err := json.Unmarshal([]byte(args[1]), &from); err != nil {
			return 9
		}
	}
	runDir, err := MakeRunDir()
	if err != nil {
		return 9
	}
	a := New(Options{
		Load: func() (Settings, error) {
			s, err := loadRig(path)
			if err != nil {
				return Settings{}, err
			}
			raw, err := json.Marshal(s)
			return Settings{
				Bind: s.Bind, Workers: s.Workers, Timeout: s.Timeout, Grace: s.Grace, Environ: append(os.Environ(), "RIG_SETTINGS="+string(raw)),
			}, err
		},
		WorkerArgs: func(in Inherited) []string {
			raw, _ := json.Marshal(in)
			return []string{"test-worker", path, string(raw)}
		},
		RunDir: runDir.Path,
		Reopen: func() { log.Info("master reopens") }, Log: log, Now: time.Now,
		Upgrade: Upgrade{
			Program: filepath.Join(filepath.Dir(path), "program"), Environ: os.Environ(), Sockets: from.Sockets, Channel: from.Channel,
			Args: func(channel int, sockets []Socket) []string {
				raw, _ := json.Marshal(map[string]any{"Channel": channel, "Sockets": sockets})
				return []string{"test-master", path, string(raw)}
			},
		},
		Started: func([]*Listener) { log.Info("all serve") },
	})
	switch err := a.Run(context.Background()); {
	case errors.Is(err, ErrBoot):
		return 3
	case err != nil:
		log.Error("master failed", "error", err)
		return 1
	default:
		return 0
	}
}

// testWorker is a worker. The file "fault" beside the settings tells it to misbehave
// from its start.
func testWorker(args []string) int {
	fault, _ := os.ReadFile(filepath.Join(filepath.Dir(args[0]), "fault"))
	switch string(fault) {
	case "exit":
		return 1
	case "hang":
		select {}
	}
	log := rigLog()
	var set rigSettings
	if err := json.Unmarshal([]byte(os.Getenv("RIG_SETTINGS")), &set); err != nil {
		return 9
	}
	var in Inherited
	if err := json.Unmarshal([]byte(args[1]), &in); err != nil {
		return 9
	}
	listeners, err := OpenListeners(in.Listeners)
	if err != nil {
		log.Error("worker", "error", err)
		return 1
	}
	h := &rigHandler{label: set.Label}
	var server *Server
	worker, err := OpenWorker(WorkerOptions{
		ChannelFD: in.Channel, Log: log, Reopen: func() { log.Info("worker reopens") },
		Stats: func(context.Context) (Stats, bool) { return server.Counts(), !h.deadlocked.Load() },
		Beat:  set.Timeout / 4,
	})
	if err != nil {
		log.Error("worker", "error", err)
		return 1
	}
	server = NewServer(ServerOptions{
		Handler: h, Listeners: listeners, Log: log, Keepalive: set.Keepalive, Grace: set.Grace, Connections: set.Connections,
		Threads: set.Threads, Exempt: func(r *http.Request) bool { return r.URL.Path == "/exempt" },
		MaxRequests: set.MaxRequests, Recycle: worker.Recycle, Leave: h.leave,
	})
	if err := worker.Run(context.Background(), server.Run); err != nil {
		log.Error("worker", "error", err)
		return 1
	}
	return 0
}

// testOrphan starts a process that lives for a moment, then ends: what it leaves
// behind is process 1's.
func testOrphan(file string) int {
	attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}}
	pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", "exit 0"}, attr)
	if err != nil {
		return 1
	}
	_ = os.WriteFile(file, []byte(strconv.Itoa(pid)), 0o600)
	return 0
}

// testReaper starts a program and stays until it and all that it left behind have
// ended, as the supervisor of a session does: it is the one that orphans go to.
func testReaper(argv []string) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1
	}
	if _, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}}); err != nil {
		return 1
	}
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && !errors.Is(err, syscall.EINTR) {
			return 0
		}
	}
}

// rigHandler is what the workers of the process tests serve.
type rigHandler struct {
	label      string
	deadlocked atomic.Bool
	mu         sync.Mutex
	taken      []net.Conn
}

// rigAnswer is what each endpoint answers.
type rigAnswer struct {
	PID    int
	Master int
	Label  string
	Binary string
}

func (h *rigHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/read": // lasts as long as the client sends
		w.Header().Set("X-Begun", "yes")
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = w.Write([]byte("begun\n"))
		_ = http.NewResponseController(w).Flush()
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "read %d %v\n", n, err)
	case "/quiet": // the same, but says nothing before it ends
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "read %d %v\n", n, err)
	case "/deadlock": // the beat stops, the rest goes on
		h.deadlocked.Store(true)
		h.say(w)
	case "/take": // like a WebSocket
		h.take(w)
	case "/spawn-orphan":
		out := r.URL.Query().Get("file")
		pid, err := syscall.ForkExec("/proc/self/exe", []string{"orphan", "test-orphan", out}, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
		if err == nil {
			_, err = syscall.Wait4(pid, nil, 0, nil)
		}
		_, _ = fmt.Fprintln(w, err)
	default:
		h.say(w)
	}
}

func (h *rigHandler) say(w io.Writer) {
	raw, err := json.Marshal(rigAnswer{PID: os.Getpid(), Master: os.Getppid(), Label: h.label, Binary: os.Getenv("RIG_BINARY")})
	if err == nil {
		_, _ = w.Write(raw)
	}
}

func (h *rigHandler) take(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\npid %d\n", os.Getpid())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken = append(h.taken, c)
}

// leave tells those who have a connection for long to move.
func (h *rigHandler) leave(context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.taken {
		_, _ = io.WriteString(c, "move\n")
		_ = c.Close()
	}
}
