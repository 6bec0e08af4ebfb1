package process

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/executor"
)

// stderrKept is how much of the child's last words goes into a report.
const stderrKept = 4 << 10

// child is one running executor process and this side of its pipes.
type child struct {
	cmd       *exec.Cmd
	mark      string
	payload   []byte
	every     time.Duration
	stdin     *os.File
	events    *os.File
	keepAlive *os.File
	stderr    *os.File
	tail      tail
	exited    chan struct{} // closed once the process was reaped
	waitErr   error         // valid after exited
}

// start makes the pipes and the process. On an error nothing is left open.
func (e *Executor) start(ws string, payload []byte) (*child, error) {
	var pp pipes
	defer pp.closeTheirs()
	stdinR, stdinW := pp.toChild()
	eventsR, eventsW := pp.fromChild()
	keepR, keepW := pp.toChild()
	stderrR, stderrW := pp.fromChild()
	if pp.err != nil {
		pp.closeOurs()
		return nil, pp.err
	}
	command := func(fenced bool) *exec.Cmd {
		args := append(append([]string{}, e.o.Command[1:]...), "--keep-alive-fd="+strconv.Itoa(executor.KeepAliveFD))
		if fenced {
			args = append(args, fmt.Sprintf("--fence=%d:%d", e.o.UID, e.o.GID))
		}
		// No context: the child is ended in steps, see follow.
		cmd := exec.Command(e.o.Command[0], args...) //nolint:gosec,noctx // the command is this program
		cmd.Dir, cmd.Env = ws, e.environ(ws)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdinR, stderrW, stderrW
		cmd.ExtraFiles = []*os.File{eventsW, keepR} // descriptors 3 and 4
		cmd.SysProcAttr = e.attributes(fenced)
		return cmd
	}
	fenced := e.mayFence()
	c := &child{
		cmd: command(fenced), mark: workspaceEntry(ws), payload: payload, every: e.o.KeepAlive,
		stdin: stdinW, events: eventsR, keepAlive: keepW, stderr: stderrR, exited: make(chan struct{}),
	}
	err := c.spawn()
	if err != nil && fenced && fenceRefused(err) {
		e.unfenced.Store(true)
		e.o.Log.Warn("scripts get no process namespace of their own here; if this worker and a script's executor are killed at the same "+
			"instant, what the script started goes on until the next start of a worker", "error", err)
		c.cmd = command(false)
		err = c.spawn()
	}
	if err != nil {
		pp.closeOurs()
		return nil, err
	}
	return c, nil
}

// spawn starts and awaits the process on one OS thread: the kernel's parent-death
// signal goes out when the starting thread ends, not when the process does.
func (c *child) spawn() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		defer close(c.exited)
		awaitExit(c.cmd.Process.Pid)
		// While the zombie holds its number nothing else can be in its session.
		endSession(c.cmd.Process.Pid)
		c.waitErr = c.cmd.Wait()
	}()
	return <-started
}

// follow relays the child until its end and tells how that was.
func (c *child) follow(ctx context.Context, sink executor.Sink, cancel context.CancelCauseFunc, grace time.Duration) executor.Result {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = c.stdin.Write(c.payload) // a child that did not read it reports that itself
		_ = c.stdin.Close()
	})
	wg.Go(func() { c.beat() })
	wg.Go(func() { _, _ = io.Copy(&c.tail, c.stderr) })
	rd := &reader{sink: sink}
	read := make(chan struct{})
	wg.Go(func() {
		defer close(read)
		if err := rd.run(c.events); err != nil {
			cancel(err)
			_, _ = io.Copy(io.Discard, c.events) // or the child could not finish
		}
	})

	c.awaitEnd(ctx, grace)
	c.drain(ctx, read, grace)
	wg.Wait()
	return c.outcome(ctx, rd)
}

// awaitEnd returns once the process is gone: by itself, after SIGTERM, or killed.
func (c *child) awaitEnd(ctx context.Context, grace time.Duration) {
	select {
	case <-c.exited:
		return
	case <-ctx.Done():
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-c.exited:
	case <-t.C:
		killGroup(c.cmd.Process)
		<-c.exited
	}
}

// drain lets the reader come to the end of what the child wrote, then closes this
// side of the pipes. Only a sink that blocks can hold it, and not past the end of ctx.
func (c *child) drain(ctx context.Context, read <-chan struct{}, grace time.Duration) {
	if !c.cleanExit() {
		endMarked(c.mark)
	}
	select {
	case <-read:
	case <-ctx.Done():
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-read:
		case <-t.C:
		}
	}
	for _, f := range []*os.File{c.events, c.stderr, c.keepAlive, c.stdin} {
		_ = f.Close()
	}
}

func (c *child) cleanExit() bool {
	return c.cmd.ProcessState != nil && c.cmd.ProcessState.Exited()
}

// beat writes a line every now and then, so that the child notices a parent that is
// frozen as well as one that died.
func (c *child) beat() {
	t := time.NewTicker(c.every)
	defer t.Stop()
	for {
		select {
		case <-c.exited:
			return
		case <-t.C:
			_ = c.keepAlive.SetWriteDeadline(time.Now().Add(c.every))
			_, _ = c.keepAlive.WriteString("alive\n")
		}
	}
}

func (c *child) outcome(ctx context.Context, rd *reader) executor.Result {
	if errors.Is(rd.err, errSink) {
		return infra("The events of this attempt could not be stored.")
	}
	if rd.err != nil {
		return infra("The executor process broke the protocol: %v.", rd.err)
	}
	end, ended := executor.Ended(ctx)
	if rd.result == nil {
		if ended {
			return end
		}
		return infra("The executor process ended without a result (%s).%s", c.exitText(), c.tail.lastLines())
	}
	r := *rd.result
	switch {
	case r.Status == executor.Succeeded, r.Status == executor.Degraded:
		return r
	case ended:
		end.OutputState, end.Usage, end.Artifacts = r.OutputState, r.Usage, r.Artifacts
		return end
	case r.Status == executor.Cancelled:
		return infra("The executor process was stopped from outside (%s).%s", c.exitText(), c.tail.lastLines())
	}
	return r
}

func (c *child) exitText() string {
	if c.cmd.ProcessState != nil {
		return c.cmd.ProcessState.String()
	}
	return fmt.Sprint(c.waitErr)
}

var errSink = errors.New("event sink refused an event")

// reader checks and relays the lines of one child.
type reader struct {
	sink   executor.Sink
	n      int64
	result *executor.Result
	err    error
}

// run returns an error when the child must be stopped.
func (r *reader) run(from io.Reader) error {
	sc := bufio.NewScanner(from)
	sc.Buffer(make([]byte, 64<<10), executor.MaxResult)
	for sc.Scan() {
		if r.err = r.line(sc.Bytes()); r.err != nil {
			return r.err
		}
	}
	if err := sc.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		r.err = fmt.Errorf("read events: %w", err)
	}
	return r.err
}

func (r *reader) line(data []byte) error {
	var e executor.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("line %d is not an event: %w", r.n+1, err)
	}
	if e.V != executor.Version || e.N != r.n+1 {
		return fmt.Errorf("event %d of version %q, expected %d of %q", e.N, e.V, r.n+1, executor.Version)
	}
	if r.result != nil {
		return errors.New("an event came after the result")
	}
	r.n = e.N
	if e.Type != executor.EventResult && len(data) > executor.MaxLine {
		return fmt.Errorf("event %d of type %s has %d bytes", e.N, e.Type, len(data))
	}
	if e.Type == executor.EventResult {
		if e.Result == nil || !knownStatus(e.Result.Status) {
			return errors.New("a result without a known status")
		}
		r.result = e.Result
		return nil
	}
	if err := r.sink(e); err != nil {
		return fmt.Errorf("%w: %w", errSink, err)
	}
	return nil
}

func knownStatus(s executor.Status) bool {
	switch s {
	case executor.Succeeded, executor.Degraded, executor.Failed, executor.Cancelled, executor.TimedOut:
		return true
	case executor.Suspended: // only a worker can
	}
	return false
}

// tail keeps the end of a stream.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - stderrKept; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) lastLines() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(string(bytes.TrimSpace(t.buf)), "\n")
	lines = lines[max(0, len(lines)-10):]
	if text := strings.Join(lines, "\n"); text != "" {
		return " Its last output:\n" + text
	}
	return ""
}

// pipes collects pipe ends, so that each is closed once on the right side.
type pipes struct {
	ours, theirs []*os.File
	err          error
}

func (p *pipes) toChild() (r, w *os.File) {
	r, w = p.open()
	p.theirs, p.ours = append(p.theirs, r), append(p.ours, w)
	return r, w
}

func (p *pipes) fromChild() (r, w *os.File) {
	r, w = p.open()
	p.ours, p.theirs = append(p.ours, r), append(p.theirs, w)
	return r, w
}

func (p *pipes) open() (r, w *os.File) {
	r, w, err := os.Pipe()
	p.err = errors.Join(p.err, err)
	return r, w
}

func (p *pipes) closeOurs()   { closeAll(p.ours) }
func (p *pipes) closeTheirs() { closeAll(p.theirs) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
