package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// The exit codes of the executor command.
const (
	ExitSucceeded  = 0
	ExitFailed     = 1
	ExitBadPayload = 2
	ExitTimeout    = 124
	ExitCancelled  = 130
)

// KeepAliveEvery and MaxSilence are the beat of the parent and how long a child
// goes without one before it takes the parent for dead.
const (
	KeepAliveEvery = 2 * time.Second
	MaxSilence     = 8 * time.Second
	DefaultGrace   = 5 * time.Second
)

// EventsFD and KeepAliveFD are the descriptors that the process executor passes.
const (
	EventsFD    = 3
	KeepAliveFD = 4
)

// ChildOptions are what the executor command hands to RunChild.
type ChildOptions struct {
	Payload   io.Reader // the payload as JSON
	Events    io.Writer // events as JSON lines; nil for none
	KeepAlive io.Reader // the pipe from the parent; nil if there is no parent to watch
	Stderr    io.Writer // one line for people when the payload is refused
	Runner    Runner
	Fence     *Fence // set if the process was started in namespaces of its own
	Workspace string // emptied when the parent is gone, which then cannot; may be ""
	Silence   time.Duration
	Now       func() time.Time
}

// Fence says who a process is to be that was started, as root, as the first one of
// a process namespace.
type Fence struct{ UID, GID int } // 0: stay as it is

// ParseFence reads "uid:gid".
func ParseFence(text string) (*Fence, error) {
	var f Fence
	if n, err := fmt.Sscanf(text, "%d:%d", &f.UID, &f.GID); err != nil || n != 2 || f.UID < 0 || f.GID < 0 {
		return nil, fmt.Errorf("%q is not uid:gid", text)
	}
	return &f, nil
}

var errOrphaned = errors.New("the parent process is gone")

// OpenInherited wraps a descriptor that the parent passed and keeps it from what
// this process starts: user code must not be able to write events.
func OpenInherited(fd uintptr, name string) *os.File {
	syscall.CloseOnExec(int(fd))
	return os.NewFile(fd, name)
}

// RunChild is the body of the executor command: it reads one payload, runs it,
// writes events and the result, and gives the exit code. It ends the attempt when
// ctx ends, on SIGTERM or SIGINT, when the keep-alive pipe ends and when the parent
// is silent for too long. Whatever the end is, every process that the attempt
// started is gone when it returns. It changes attributes of the whole process, so
// it belongs into a process of its own.
func RunChild(ctx context.Context, o ChildOptions) int {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Silence <= 0 {
		o.Silence = MaxSilence
	}
	parent := os.Getppid()
	offerMemory()
	if o.Fence != nil {
		if err := raiseFence(*o.Fence); err != nil {
			if o.Stderr != nil {
				_, _ = fmt.Fprintf(o.Stderr, "executor: %v\n", err)
			}
			return ExitFailed
		}
	}
	hardenProcess()
	defer killDescendants(2 * time.Second)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.KeepAlive != nil {
		go watchParent(o.KeepAlive, o.Silence, func() { cancel(errOrphaned) })
	}

	p, err := readPayloadOrEnd(ctx, o.Payload)
	if err != nil {
		if o.Stderr != nil {
			_, _ = fmt.Fprintf(o.Stderr, "executor: %v\n", err)
		}
		if ctx.Err() != nil {
			return ExitCancelled
		}
		return ExitBadPayload
	}
	return supervise(ctx, p, o, parent)
}

// supervise runs the attempt and bounds how long it may take to stop.
func supervise(ctx context.Context, p Payload, o ChildOptions, parent int) int {
	w := &lineWriter{w: o.Events}
	done := make(chan Result, 1)
	go func() {
		res := Run(ctx, p, w.event, o.Runner, o.Now)
		if errors.Is(context.Cause(ctx), errOrphaned) {
			res = Failure(CodeInfra, "The worker that held this attempt is gone.", true)
		}
		w.result(res, o.Now())
		done <- res
	}()
	res := Result{Status: Cancelled}
	select {
	case res = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(GraceOf(p) + time.Second)
		defer grace.Stop()
		select {
		case res = <-done:
		case <-grace.C:
		}
	}
	// The signal that the kernel sends for a dead parent may be noticed before the end
	// of its pipe, and looks like any other.
	if errors.Is(context.Cause(ctx), errOrphaned) || o.KeepAlive != nil && (os.Getppid() != parent || hungUp(o.KeepAlive)) {
		killDescendants(2 * time.Second)
		emptyDir(o.Workspace)
		return ExitCancelled
	}
	return ExitCode(res.Status)
}

// GraceOf is how long what the attempt started may take to end by itself.
func GraceOf(p Payload) time.Duration {
	if p.Limits.GraceSeconds > 0 {
		return time.Duration(p.Limits.GraceSeconds * float64(time.Second))
	}
	return DefaultGrace
}

// ExitCode maps a status to the exit code of the executor command.
func ExitCode(s Status) int {
	switch s {
	case Succeeded, Degraded:
		return ExitSucceeded
	case TimedOut:
		return ExitTimeout
	case Cancelled:
		return ExitCancelled
	case Failed, Suspended:
		return ExitFailed
	}
	return ExitFailed
}

// readPayloadOrEnd does not let a parent that never writes hold the child.
func readPayloadOrEnd(ctx context.Context, r io.Reader) (Payload, error) {
	type read struct {
		p   Payload
		err error
	}
	got := make(chan read, 1)
	go func() {
		p, err := ReadPayload(r)
		got <- read{p, err}
	}()
	select {
	case g := <-got:
		return g.p, g.err
	case <-ctx.Done():
		return Payload{}, context.Cause(ctx)
	}
}

// watchParent calls gone once r ends or brings nothing for silence. The reading
// goroutine ends with the process when the parent never closes the pipe.
func watchParent(r io.Reader, silence time.Duration, gone func()) {
	beat := make(chan struct{}, 1)
	end := make(chan struct{})
	go func() {
		defer close(end)
		buf := make([]byte, 64)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
			select {
			case beat <- struct{}{}:
			default:
			}
		}
	}()
	t := time.NewTimer(silence)
	defer t.Stop()
	for {
		select {
		case <-beat:
			t.Reset(silence)
		case <-end:
			gone()
			return
		case <-t.C:
			gone()
			return
		}
	}
}

// lineWriter writes events as JSON lines and closes with the result.
type lineWriter struct {
	mu sync.Mutex
	w  io.Writer
	n  int64
}

func (l *lineWriter) event(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	if len(line) >= MaxLine {
		return fmt.Errorf("event of type %s has %d bytes", e.Type, len(line))
	}
	l.n = e.N
	return l.write(line)
}

func (l *lineWriter) result(r Result, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev := Event{V: Version, N: l.n + 1, TS: now.UTC(), Type: EventResult, Result: &r}
	line, err := json.Marshal(ev)
	if err != nil || len(line) >= MaxResult {
		small := Failuref(CodeTooLarge, false, "The result of the node is larger than %d MiB.", MaxResult>>20)
		ev.Result = &small
		line, _ = json.Marshal(ev) //nolint:errchkjson // made of numbers and texts
	}
	_ = l.write(line) // without a reader there is nobody left to tell
}

func (l *lineWriter) write(line []byte) error {
	if l.w == nil {
		return nil
	}
	if _, err := l.w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

func emptyDir(dir string) {
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		_ = os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}
