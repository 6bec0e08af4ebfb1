package serving

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Settings are what a reload may change.
type Settings struct {
	Bind    []string
	Workers int
	Timeout time.Duration // a worker that does not beat for so long is replaced
	Grace   time.Duration // how long a drain may take
	Environ []string      // of the workers: they read their configuration from it
}

// Options make an arbiter.
type Options struct {
	// Load reads the settings: at the start and at each reload. An error at a reload
	// leaves everything as it is.
	Load func() (Settings, error)
	// WorkerArgs is the command line of a worker, given what it inherits.
	WorkerArgs func(Inherited) []string
	Reopen     func() // the master's own log files
	Log        *slog.Logger
	Now        func() time.Time
	// Upgrade is how a new binary is started in our place, and what an earlier master
	// passed on to us.
	Upgrade Upgrade
	// Started is called once: all workers serve for the first time.
	Started func(listeners []*Listener)
	// HandedOver is called when a new master serves in place of this one.
	HandedOver func()
	// Ended, when set, is given the name of each worker that has ended, however it did.
	// It must not wait.
	Ended func(name string)
	// RunDir is where the workers' private sockets lie; see MakeRunDir.
	RunDir string
}

// Inherited is what a worker gets from its master: descriptors, and its place among
// the workers.
type Inherited struct {
	Channel   int
	Private   int    // listening socket that only this machine's account reaches
	Name      string // of that socket in RunDir; unique among workers, ever
	RunDir    string
	Listeners []int
}

// ErrBoot means that no worker ever became ready.
var ErrBoot = errors.New("workers do not start")

const (
	maxWorkers   = 1024
	tick         = 250 * time.Millisecond
	abortGrace   = 2 * time.Second // from SIGABRT, which leaves a trace, to SIGKILL
	quickGrace   = 2 * time.Second
	drainMargin  = 3 * time.Second // a worker enforces its grace itself; this is for one that does not
	bootTries    = 3
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// steadyAfter is how long a worker must have lived for its death not to count as
	// one of a crash loop.
	steadyAfter = 5 * time.Second
)

// stopMode is how far the arbiter has gone in stopping.
type stopMode int

const (
	running      stopMode = iota
	stopDrain             // without a deadline
	stopGraceful          // within the grace
	stopQuick             // now
)

// Arbiter is the master process; see the package comment.
type Arbiter struct {
	o     Options
	calls chan func()
	done  chan struct{} // closed when Run has ended

	// Everything below belongs to the goroutine of Run.
	settings   Settings
	listeners  []*Listener
	surplus    []*Listener // inherited, but not asked for; an earlier master still uses them
	target     int
	workers    map[int]*worker
	age        int
	generation int
	mode       stopMode
	stopBy     time.Time // when what still runs is killed
	everReady  bool
	failures   int       // deaths in a row that look like a crash loop
	spawnAfter time.Time // no worker is started before
	lastTick   time.Time
	started    time.Time
	spawned    int64
	killed     int64
	reloads    int64
	upgrade    upgradeState
	bootErr    error
}

// New makes an arbiter.
func New(o Options) *Arbiter {
	return &Arbiter{o: o, calls: make(chan func(), 64), done: make(chan struct{}), workers: map[int]*worker{}}
}

// Run opens the sockets, keeps the workers and returns when all have ended: after a
// signal or an order to stop, or when ctx ends, which is a graceful stop. It gives
// ErrBoot if no worker ever became ready.
func (a *Arbiter) Run(ctx context.Context) error {
	// The kernel tells a worker about the death of the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(a.done)
	a.started = a.o.Now()
	// From here on signals wait for the loop; before it they would end or be lost.
	signals, stopSignals := watchSignals()
	defer stopSignals()
	var err error
	if a.settings, err = a.o.Load(); err != nil {
		return err
	}
	if err := a.open(ctx); err != nil {
		return err
	}
	a.target = a.settings.Workers
	a.generation = 1
	a.loop(ctx, signals)
	return a.bootErr
}

// closeSockets has the kernel refuse further connections, once the workers have let
// go as well: a client is to go elsewhere at once rather than wait for nobody.
func (a *Arbiter) closeSockets() {
	// The paths belong to the newest master that serves.
	ours := !a.upgrade.handed && (a.o.Upgrade.Channel == 0 || a.everReady)
	for _, l := range slices.Concat(a.listeners, a.surplus) {
		l.close(ours)
	}
	a.listeners, a.surplus = nil, nil
}

// open takes the sockets from an earlier master, or opens them.
func (a *Arbiter) open(ctx context.Context) error {
	inherited, err := a.o.Upgrade.listeners()
	if err != nil {
		return err
	}
	if a.listeners, err = a.reopenSockets(ctx, a.settings.Bind, inherited); err != nil {
		return err
	}
	for _, l := range inherited {
		if !slices.Contains(a.listeners, l) {
			a.surplus = append(a.surplus, l)
		}
	}
	return nil
}

// reopenSockets gives the sockets of bind: those of have that it still names, and new
// ones for the rest. On an error the new ones are closed again.
func (a *Arbiter) reopenSockets(ctx context.Context, bind []string, have []*Listener) ([]*Listener, error) {
	var out, fresh []*Listener
	for _, address := range bind {
		if i := slices.IndexFunc(have, func(l *Listener) bool { return l.Address == address }); i >= 0 {
			out = append(out, have[i])
			continue
		}
		l, err := Listen(ctx, address, a.o.Log)
		if err != nil {
			for _, f := range fresh {
				f.close(true)
			}
			return nil, err
		}
		out, fresh = append(out, l), append(fresh, l)
	}
	return out, nil
}

func (a *Arbiter) loop(ctx context.Context, signals <-chan os.Signal) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	a.lastTick = a.o.Now()
	ended := ctx.Done()
	a.manage()
	for !a.over() {
		select {
		case <-ended:
			ended = nil
			a.stop(stopGraceful)
		case s := <-signals:
			a.signal(ctx, s)
		case call := <-a.calls:
			call()
		case <-ticker.C:
			a.inspect()
		}
		a.manage()
	}
}

func (a *Arbiter) over() bool { return a.mode != running && len(a.workers) == 0 }

// do runs f on the arbiter's goroutine and waits for it; false: it never will run.
func (a *Arbiter) do(ctx context.Context, f func()) bool {
	ran := make(chan struct{})
	select {
	case a.calls <- func() { f(); close(ran) }:
	case <-a.done:
		return false
	case <-ctx.Done():
		return false
	}
	select {
	case <-ran:
		return true
	case <-a.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// post runs f on the arbiter's goroutine, some time.
func (a *Arbiter) post(f func()) {
	select {
	case a.calls <- f:
	case <-a.done:
	}
}

// signal does what Gunicorn's master does.
func (a *Arbiter) signal(ctx context.Context, s os.Signal) {
	if s != syscall.SIGCHLD {
		a.o.Log.InfoContext(ctx, "signal", "signal", s.String())
	}
	switch s {
	case syscall.SIGCHLD:
		a.reap()
	case syscall.SIGTERM:
		if a.mode >= stopGraceful {
			a.stop(stopQuick) // whoever asks twice has no patience left
			return
		}
		a.stop(stopGraceful)
	case syscall.SIGINT, syscall.SIGQUIT:
		a.stop(stopQuick)
	case syscall.SIGHUP:
		if err := a.reload(ctx); err != nil {
			a.o.Log.ErrorContext(ctx, "reload refused; the old configuration stays", "error", err)
		}
	case syscall.SIGTTIN:
		_, _, _ = a.resize(1)
	case syscall.SIGTTOU:
		_, _, _ = a.resize(-1)
	case syscall.SIGUSR1:
		a.reopenLogs()
	case syscall.SIGUSR2:
		if err := a.beginUpgrade(); err != nil {
			a.o.Log.ErrorContext(ctx, "upgrade refused", "error", err)
		}
	case syscall.SIGWINCH:
		a.windDown(ctx)
	}
}

// windDown ends the workers and keeps the master. Terminals send WINCH whenever
// their window changes, so there it means nothing.
func (a *Arbiter) windDown(ctx context.Context) {
	if onTerminal() {
		a.o.Log.DebugContext(ctx, "SIGWINCH ignored: the master runs in a terminal")
		return
	}
	a.o.Log.InfoContext(ctx, "workers end; TTIN or HUP brings them back")
	a.target = 0
}

// reload starts a new generation of workers on freshly read settings; the old ones
// go when the new ones serve.
func (a *Arbiter) reload(ctx context.Context) error {
	if a.mode != running {
		return errs.E(errs.Conflict, "serving.stopping", "The master is stopping; it does not reload any more.")
	}
	settings, err := a.o.Load()
	if err != nil {
		return err
	}
	listeners, err := a.reopenSockets(ctx, settings.Bind, a.listeners)
	if err != nil {
		return err
	}
	for _, old := range a.listeners {
		if !slices.Contains(listeners, old) {
			old.close(true)
		}
	}
	a.listeners, a.settings, a.target = listeners, settings, settings.Workers
	a.generation++
	a.reloads++
	a.failures, a.spawnAfter = 0, time.Time{}
	for _, w := range a.workers {
		if w.state == starting || w.state == serving {
			a.replace(w, "reload")
		}
	}
	a.reopenLogs()
	a.o.Log.InfoContext(ctx, "reload", "generation", a.generation, "workers", a.target)
	return nil
}

// reopenLogs opens the log files anew, here and in the workers.
func (a *Arbiter) reopenLogs() {
	if a.o.Reopen != nil {
		a.o.Reopen()
	}
	for _, w := range a.workers {
		w.tell(msgReopen)
	}
}

// resize changes how many workers there are to be; never below one.
func (a *Arbiter) resize(delta int) (previous, total int, err error) {
	if a.mode != running {
		return a.target, a.target, errs.E(errs.Conflict, "serving.stopping", "The master is stopping; the number of workers does not change any more.")
	}
	previous = a.target
	if previous+delta > maxWorkers {
		return previous, previous, errs.Ef(errs.Invalid, "serving.too_many", "That would be %d workers; at most %d are kept.", previous+delta, maxWorkers)
	}
	a.target = max(previous+delta, min(previous, 1)) // none only while WINCH has ended them
	a.failures, a.spawnAfter = 0, time.Time{}
	return previous, a.target, nil
}

// stop begins to stop, or goes on to a stronger way.
func (a *Arbiter) stop(mode stopMode) {
	if mode <= a.mode {
		return
	}
	a.o.Log.Info("stopping", "workers", len(a.workers), "quick", mode == stopQuick)
	a.mode = mode
	a.abandonUpgrade()
	switch mode {
	case running, stopDrain:
	case stopGraceful:
		a.stopBy = a.o.Now().Add(a.settings.Grace + drainMargin)
	case stopQuick:
		a.stopBy = a.o.Now().Add(quickGrace)
	}
	a.closeSockets()
	for _, w := range a.workers {
		if mode == stopQuick {
			w.state, w.reason = draining, "stop"
			w.tell(msgQuit)
			w.killAt = a.stopBy
			continue
		}
		a.drain(w, "stop")
		w.killAt = a.stopBy
	}
}
