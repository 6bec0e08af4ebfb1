package control

import (
	"context"
	"errors"
	"time"
)

// Arbiter is what the control socket shows and steers. Its methods are called
// from several goroutines at a time and must return within the deadline of their
// context; a command that cannot be carried out is an *errs.Error (Invalid for an
// argument, Conflict for the wrong moment, such as a reload while stopping), whose
// message the client is shown.
type Arbiter interface {
	// Snapshot gives one moment's picture of the arbiter and its workers.
	Snapshot(ctx context.Context) (Snapshot, error)
	// Config gives the configuration in effect: after a reload the new one.
	Config(ctx context.Context) (Config, error)
	// Connections asks the workers for their connections. A worker that does not
	// answer in time is listed with an Error; that alone fails nothing.
	Connections(ctx context.Context) ([]Connections, error)
	// Streams asks the workers for their side of realtime, in the same way.
	Streams(ctx context.Context) ([]Streams, error)

	// Resize changes how many workers there should be, by TTIN's and TTOU's rules:
	// never below one. It returns once the number has changed, before the workers
	// have started or ended. A total above the arbiter's limit is Invalid.
	Resize(ctx context.Context, delta int) (previous, total int, err error)
	// KillWorker ends one worker gracefully; the arbiter replaces it. It returns
	// ErrNoWorker for a pid that is none of the arbiter's workers.
	KillWorker(ctx context.Context, pid int) error
	// Reload does what HUP does. It returns when the reload has been accepted.
	Reload(ctx context.Context) error
	// Reopen does what USR1 does: logs are reopened, here and in the workers.
	Reopen(ctx context.Context) error
	// Stop begins to stop and returns. The answer is sent after it, so the process
	// must stay until the Server's Run has returned. A stronger mode may follow a
	// weaker one.
	Stop(ctx context.Context, mode StopMode) error
}

// ErrNoWorker is a pid that belongs to no worker.
var ErrNoWorker = errors.New("no such worker")

// StopMode says how to stop, from the weakest to the strongest.
type StopMode int

// Ways to stop.
const (
	// StopDrain accepts nothing more, tells sockets to move, and stops when the
	// last request has ended, however long that takes.
	StopDrain StopMode = iota
	// StopGraceful does the same, but cuts off what has not ended within the
	// graceful time-out: TERM.
	StopGraceful
	// StopQuick cuts off at once: INT and QUIT.
	StopQuick
)

// Snapshot is the arbiter at one moment.
type Snapshot struct {
	PID     int
	Started time.Time // of the arbiter
	State   State
	Target  int // how many workers there should be
	// Spawned, Killed and Reloads count since the start. Killed are the workers
	// that the arbiter ended by force, because they missed their heartbeat or the
	// graceful time-out.
	Spawned, Killed, Reloads int64
	Workers                  []Worker // in any order
	Listeners                []Listener
}

// State is what the arbiter is doing.
type State string

// States of the arbiter.
const (
	StateRunning  State = "running"
	StateDraining State = "draining" // StopDrain
	StateStopping State = "stopping" // StopGraceful, StopQuick
)

// Worker is a web worker process.
type Worker struct {
	PID     int
	Age     int // its place in the order of starts, from 1; not a time
	Started time.Time
	Booted  bool // it serves
	Aborted bool // it missed its heartbeat and is being ended
	// Retiring is set while a worker finishes its work before it ends: after a
	// reload, a resize, its last request, or on an order.
	Retiring bool
	// LastBeat is when the arbiter last heard of it; zero: not yet.
	LastBeat time.Time
	// Requests served, requests being served, and open connections, as of LastBeat.
	Requests    int64
	Active      int
	Connections int
	// Memory is the resident size in bytes; 0: unknown.
	Memory int64
}

// Listener is a bound socket.
type Listener struct {
	Address string // "http://127.0.0.1:5055", "https://[::1]:5055", "unix:/run/llmctl.sock"
	FD      int
	Type    string // "tcp", "tcp6", "unix"
}

// Connections are one worker's connections.
type Connections struct {
	PID   int
	Age   int
	Error string // why there are no numbers; empty: there are
	// Open connections: Active have a request in progress, Idle are kept alive.
	Open, Active, Idle int
	// Waiting requests stand in line for a thread (GUNICORN_THREADS).
	Waiting int
	// WebSocket and Polling are Socket.IO sessions by transport.
	WebSocket, Polling int
}

// Streams is one worker's side of realtime.
type Streams struct {
	PID   int
	Age   int
	Error string // why there are no numbers; empty: there are
	// Ready says whether it delivers; Reason why not.
	Ready  bool
	Reason string
	Bus    string // driver: memory, postgres, redis
	// Connections that listen, rooms with at least one of them, and streams with a cursor.
	Connections, Rooms, Streams int64
	// Delivered events, replayed ones, and those that no hint had announced.
	Delivered, Replayed, FromLog int64
	// SlowCloses are connections that were closed because they took no more.
	SlowCloses int64
	LastSweep  time.Time // of the log; zero: none yet
}

// Config is the configuration in effect in Gunicorn's terms. Times are sent as
// seconds. Secrets have no place here.
type Config struct {
	Bind                 []string
	Workers              int
	WorkerClass          string
	Threads              int
	Timeout              time.Duration
	GracefulTimeout      time.Duration
	Keepalive            time.Duration
	MaxRequests          int
	MaxRequestsJitter    int
	WorkerConnections    int
	PIDFile              string // empty: none
	ProcName             string
	ControlSocket        string
	ControlSocketDisable bool
	// Extra are further settings by Gunicorn's name, such as loglevel, accesslog,
	// errorlog, certfile: texts, numbers, booleans and lists of these. They never
	// replace the ones above.
	Extra map[string]any
}
