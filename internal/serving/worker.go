package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// WorkerTitle begins the command line of a worker, for people who list processes.
const WorkerTitle = "llmctl: web worker"

// beatEvery is how often a worker says that it lives, unless the time-out is short.
const beatEvery = time.Second

// WorkerOptions connect a worker process with its arbiter.
type WorkerOptions struct {
	ChannelFD int
	Log       *slog.Logger
	// Stats gives the figures of a beat; false: there is to be no beat, because
	// something that serving needs does not move.
	Stats  func(ctx context.Context) (Stats, bool)
	Reopen func() // log files
	// Beat is the pause between beats, if a second is too long: several must fit into
	// the arbiter's time-out.
	Beat time.Duration
}

// Worker is this process as the arbiter's worker.
type Worker struct {
	o       WorkerOptions
	channel *channel
	stop    context.CancelCauseFunc
	quit    context.CancelFunc
	once    sync.Once
}

// ErrDrain is the cause of the context of [Worker.Run] when the worker is to drain.
var ErrDrain = errors.New("worker is to drain")

// OpenWorker takes up the channel to the arbiter.
func OpenWorker(o WorkerOptions) (*Worker, error) {
	f := os.NewFile(uintptr(o.ChannelFD), "channel")
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("open channel to the master: %w", err)
	}
	return &Worker{o: o, channel: &channel{conn: conn}}, nil
}

// OpenListeners takes up the sockets that were inherited.
func OpenListeners(fds []int) ([]net.Listener, error) {
	listeners := make([]net.Listener, 0, len(fds))
	for _, fd := range fds {
		f := os.NewFile(uintptr(fd), "listener")
		ln, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("take up socket %d: %w", fd, err)
		}
		if u, ok := ln.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false) // the path is the arbiter's
		}
		listeners = append(listeners, ln)
	}
	return listeners, nil
}

// Run runs serve with a context that ends when the worker is to drain: the arbiter
// or SIGTERM says so, or the arbiter is gone. When it is to exit at once, Run returns
// without waiting for serve. serve calls ready once it accepts.
func (w *Worker) Run(ctx context.Context, serve func(ctx context.Context, ready func()) error) error {
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	quitting, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	w.stop, w.quit = stop, quit

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGUSR2,
		syscall.SIGWINCH, syscall.SIGTTIN, syscall.SIGTTOU)
	defer signal.Stop(signals)
	go w.obey(quitting, signals)
	go func() {
		if w.channel.receive(w.order) == nil {
			w.o.Log.InfoContext(ctx, "the master is gone; this worker ends what it has and exits")
		}
		stop(ErrDrain)
	}()
	done := make(chan error, 1)
	go func() { done <- serve(inner, func() { w.ready(inner) }) }()
	select {
	case err := <-done:
		return err
	case <-quitting.Done():
		return nil
	}
}

func (w *Worker) ready(ctx context.Context) {
	_ = w.channel.send(message{Type: msgReady})
	w.once.Do(func() { go w.beat(ctx) })
}

// beat runs on while the worker drains: the arbiter must see that it lives.
func (w *Worker) beat(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	every := beatEvery
	if w.o.Beat > 0 {
		every = min(every, w.o.Beat)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for range ticker.C {
		ask, cancel := context.WithTimeout(ctx, every)
		stats, alive := w.o.Stats(ask)
		cancel()
		if !alive {
			continue
		}
		stats.Memory = residentMemory()
		if w.channel.send(message{Type: msgBeat, Stats: &stats}) != nil {
			return // the arbiter is gone; receive has noticed
		}
	}
}

// Recycle asks the arbiter to replace this worker.
func (w *Worker) Recycle() { _ = w.channel.send(message{Type: msgRecycle}) }

func (w *Worker) order(m message) {
	switch m.Type {
	case msgDrain:
		w.stop(ErrDrain)
	case msgQuit:
		w.quit()
	case msgReopen:
		w.o.Reopen()
	}
}

// obey does what signals say. Those that are the master's alone are taken and
// ignored: they reach a worker when somebody signals the whole group.
func (w *Worker) obey(ctx context.Context, signals <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-signals:
			switch s {
			case syscall.SIGTERM:
				w.stop(ErrDrain)
			case syscall.SIGINT, syscall.SIGQUIT:
				w.quit()
			case syscall.SIGUSR1:
				w.o.Reopen()
			}
		}
	}
}
