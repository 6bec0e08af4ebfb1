package serving

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// workerState is where a worker is in its life; see the package comment.
type workerState int

const (
	starting workerState = iota
	serving
	leaving
	draining
)

// worker is the arbiter's view of one worker process.
type worker struct {
	pid        int
	name       string // of its private socket
	age        int    // place in the order of starts
	generation int
	state      workerState
	ready      bool   // it has said that it accepts
	reason     string // why it is to go
	channel    *channel
	started    time.Time
	heard      time.Time // last message
	stats      Stats
	aborted    bool      // it missed its beat
	killAt     time.Time // zero: not yet
}

// accepts tells whether the worker takes connections.
func (w *worker) accepts() bool {
	return w.ready && (w.state == serving || w.state == leaving)
}

// tell sends an order without waiting for a worker that does not read.
func (w *worker) tell(kind string) {
	c := w.channel
	go func() { _ = c.send(message{Type: kind}) }()
}

// manage brings the workers towards what is asked for: it starts what is missing
// and lets those go that have been replaced.
func (a *Arbiter) manage() {
	if a.mode != running {
		return
	}
	for a.staying() < a.target && a.discarded() <= a.target && !a.o.Now().Before(a.spawnAfter) {
		if err := a.spawn(); err != nil {
			a.o.Log.Error("worker could not be started", "error", err)
			a.crashed()
		}
	}
	a.shrink()
	a.release()
	if !a.everReady && a.serving() >= a.target && a.target > 0 {
		a.everReady = true
		a.announce()
	}
}

// release drains those that are to leave. One that does not serve is missed by
// nobody; one that does may go when the others are enough.
func (a *Arbiter) release() {
	for _, w := range a.byAge() {
		if w.state == leaving && (!w.ready || a.serving() > a.target) {
			a.drain(w, w.reason)
		}
	}
}

// shrink has the oldest leave when there are more than asked for.
func (a *Arbiter) shrink() {
	for a.staying() > a.target {
		w := a.oldest(func(w *worker) bool { return w.state == starting || w.state == serving })
		if w == nil {
			return
		}
		a.replace(w, "resize")
	}
}

// staying counts the workers that are not on their way out.
func (a *Arbiter) staying() int {
	return a.count(func(w *worker) bool { return w.state == starting || w.state == serving })
}

// discarded counts the workers that were to go before they served. They bound how
// fast reload may follow reload.
func (a *Arbiter) discarded() int {
	return a.count(func(w *worker) bool { return w.state == draining && !w.ready })
}

// serving counts the workers that accept.
func (a *Arbiter) serving() int { return a.count((*worker).accepts) }

func (a *Arbiter) count(which func(*worker) bool) int {
	n := 0
	for _, w := range a.workers {
		if which(w) {
			n++
		}
	}
	return n
}

func (a *Arbiter) oldest(which func(*worker) bool) *worker {
	var found *worker
	for _, w := range a.workers {
		if which(w) && (found == nil || w.age < found.age) {
			found = w
		}
	}
	return found
}

// byAge lists the workers in the order of their starts.
func (a *Arbiter) byAge() []*worker {
	out := make([]*worker, 0, len(a.workers))
	for _, w := range a.workers {
		out = append(out, w)
	}
	slices.SortFunc(out, func(x, y *worker) int { return cmp.Compare(x.age, y.age) })
	return out
}

// replace marks a worker to go once another one serves in its place.
func (a *Arbiter) replace(w *worker, reason string) {
	if w.state == starting || w.state == serving {
		w.state, w.reason = leaving, reason
	}
}

// drain tells a worker to go.
func (a *Arbiter) drain(w *worker, reason string) {
	if w.state == draining {
		return
	}
	w.state, w.reason = draining, reason
	w.tell(msgDrain)
	if a.mode != stopDrain {
		a.limitDrain(w)
	}
}

// limitDrain says when a draining worker is killed. One that has never said that it
// serves has nothing to lose.
func (a *Arbiter) limitDrain(w *worker) {
	grace := quickGrace
	if w.ready {
		grace = a.settings.Grace + drainMargin
	}
	w.killAt = a.o.Now().Add(grace)
}

// spawn starts a worker. It must be called on the arbiter's own thread.
func (a *Arbiter) spawn() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make channel: %w", err)
	}
	defer func() { _ = unix.Close(pair[1]) }()
	conn, err := fileConn(pair[0], "channel")
	if err != nil {
		return err
	}
	w := &worker{name: NewName(), channel: &channel{conn: conn}}
	if w.pid, err = a.fork(w, pair[1]); err != nil {
		_ = conn.Close()
		return err
	}
	a.age++
	a.spawned++
	w.age, w.generation, w.started = a.age, a.generation, a.o.Now()
	w.heard = w.started
	a.workers[w.pid] = w
	a.o.Log.Info("worker started", "pid", w.pid, "age", w.age)
	go func() {
		_ = w.channel.receive(func(m message) { a.post(func() { a.hear(w, m) }) })
	}()
	return nil
}

// fork starts the process of a worker with what it inherits.
func (a *Arbiter) fork(w *worker, channel int) (pid int, err error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, fmt.Errorf("open null device: %w", err)
	}
	defer func() { _ = null.Close() }()
	private, err := listenPrivate(a.o.RunDir, w.name)
	if err != nil {
		return 0, err
	}
	defer private.close(false)
	const firstFree = 3
	in := Inherited{Channel: firstFree, Private: firstFree + 1, Name: w.name, RunDir: a.o.RunDir}
	files := []uintptr{null.Fd(), os.Stdout.Fd(), os.Stderr.Fd(), uintptr(channel), uintptr(private.fd)}
	for _, l := range a.listeners {
		in.Listeners = append(in.Listeners, len(files))
		files = append(files, uintptr(l.fd))
	}
	argv := append([]string{WorkerTitle}, a.o.WorkerArgs(in)...)
	pid, err = syscall.ForkExec(program, argv, //nolint:gosec // this very program
		&syscall.ProcAttr{Env: a.settings.Environ, Files: files, Sys: attributes()})
	if err != nil {
		return 0, fmt.Errorf("start worker: %w", err)
	}
	return pid, nil
}

func fileConn(fd int, name string) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), name)
	defer func() { _ = f.Close() }()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return conn, nil
}

// hear takes a worker's message.
func (a *Arbiter) hear(w *worker, m message) {
	if a.workers[w.pid] != w {
		return
	}
	w.heard = a.o.Now()
	switch m.Type {
	case msgReady:
		w.ready = true
		switch w.state {
		case starting:
			w.state = serving
		case draining: // the order to go crossed this message
			if a.mode == running && !w.aborted {
				a.limitDrain(w)
			}
		case serving, leaving:
		}
		a.o.Log.Info("worker serves", "pid", w.pid, "age", w.age, "after", w.heard.Sub(w.started))
	case msgBeat:
		if m.Stats != nil {
			w.stats = *m.Stats
		}
	case msgRecycle:
		a.replace(w, "max_requests")
	}
}

// inspect looks for workers that are stuck or overdue.
func (a *Arbiter) inspect() {
	now := a.o.Now()
	if now.Sub(a.lastTick) > a.settings.Timeout/2 && now.Sub(a.lastTick) > 4*tick {
		// It was us who stood still: a machine that slept, a stopped master.
		for _, w := range a.workers {
			w.heard = now
		}
	}
	a.lastTick = now
	a.reap() // a signal that was dropped must not leave a child unnoticed
	a.checkUpgrade(now)
	for _, w := range a.workers {
		switch {
		case !w.killAt.IsZero() && !now.Before(w.killAt):
			a.o.Log.Warn("worker is killed: it did not end in time", "pid", w.pid, "age", w.age, "reason", w.reason)
			a.killed++
			w.killAt = now.Add(abortGrace) // again, should it be needed
			_ = syscall.Kill(w.pid, syscall.SIGKILL)
		case !w.aborted && now.Sub(w.heard) > a.settings.Timeout:
			a.o.Log.Error("worker is stuck and is replaced; its stack follows in its log", "pid", w.pid, "age", w.age, "silent", now.Sub(w.heard))
			w.aborted = true
			w.state, w.reason, w.killAt = draining, "timeout", now.Add(abortGrace)
			_ = syscall.Kill(w.pid, syscall.SIGABRT)
		}
	}
}

// reap takes note of the children that have ended. As process 1 it also takes what
// others left behind.
func (a *Arbiter) reap() {
	var status unix.WaitStatus
	for _, pid := range a.children() {
		if got, err := unix.Wait4(pid, &status, unix.WNOHANG, nil); err == nil && got == pid {
			a.reaped(pid, status)
		}
	}
	for os.Getpid() == 1 {
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err != nil || pid <= 0 {
			return
		}
		a.reaped(pid, status)
	}
}

func (a *Arbiter) children() []int {
	pids := make([]int, 0, len(a.workers)+1)
	for pid := range a.workers {
		pids = append(pids, pid)
	}
	if a.upgrade.pid != 0 {
		pids = append(pids, a.upgrade.pid)
	}
	return pids
}

func (a *Arbiter) reaped(pid int, status unix.WaitStatus) {
	if w := a.workers[pid]; w != nil {
		a.ended(w, status)
	} else if pid == a.upgrade.pid {
		a.newMasterEnded(status)
	}
}

func (a *Arbiter) ended(w *worker, status unix.WaitStatus) {
	delete(a.workers, w.pid)
	_ = os.Remove(privatePath(a.o.RunDir, w.name))
	if a.o.Ended != nil {
		a.o.Ended(w.name)
	}
	_ = w.channel.conn.Close()
	how := howEnded(status)
	if w.state == draining {
		a.o.Log.Info("worker ended", "pid", w.pid, "age", w.age, "reason", w.reason, "how", how)
		return
	}
	a.o.Log.Error("worker died", "pid", w.pid, "age", w.age, "how", how)
	if a.o.Now().Sub(w.started) >= steadyAfter && w.accepts() {
		a.failures = 0
		return
	}
	a.crashed()
}

func howEnded(status unix.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

// crashed slows the next start down, and gives up when no worker has ever served.
func (a *Arbiter) crashed() {
	a.failures++
	pause := min(firstBackoff<<min(a.failures-1, 10), maxBackoff)
	a.spawnAfter = a.o.Now().Add(pause)
	if !a.everReady && a.failures >= bootTries && a.mode == running {
		a.bootErr = fmt.Errorf("%w: %d in a row ended before they served; the reason is in the log above", ErrBoot, a.failures)
		a.stop(stopQuick)
		return
	}
	a.o.Log.Warn("next worker is started after a pause", "pause", pause, "failures", a.failures)
}
