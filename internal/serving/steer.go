package serving

import (
	"context"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/serving/control"
)

// muteAfter is how old a worker's figures may be to be shown.
const muteAfter = 3 * beatEvery

// errEnded answers those who ask an arbiter that has ended.
var errEnded = errs.E(errs.Unavailable, "serving.ended", "The master has ended.")

// Steering is what the control socket shows and steers.
type Steering struct {
	arbiter *Arbiter
	config  func() control.Config
	secure  func() bool // whether the sockets speak TLS
}

var _ control.Arbiter = (*Steering)(nil)

// Steering gives the control socket's view; config is the configuration in effect.
func (a *Arbiter) Steering(config func() control.Config, secure func() bool) *Steering {
	return &Steering{arbiter: a, config: config, secure: secure}
}

// inLoop runs f on the arbiter's goroutine.
func (s *Steering) inLoop(ctx context.Context, f func(a *Arbiter) error) error {
	var err error
	if !s.arbiter.do(ctx, func() { err = f(s.arbiter) }) {
		if ctx.Err() != nil {
			return fmt.Errorf("ask the master: %w", ctx.Err())
		}
		return errEnded
	}
	return err
}

// Snapshot implements control.Arbiter.
func (s *Steering) Snapshot(ctx context.Context) (control.Snapshot, error) {
	var out control.Snapshot
	err := s.inLoop(ctx, func(a *Arbiter) error {
		out = a.snapshot(s.secure())
		return nil
	})
	return out, err
}

func (a *Arbiter) snapshot(secure bool) control.Snapshot {
	out := control.Snapshot{
		PID: syscall.Getpid(), Started: a.started, State: control.StateRunning, Target: a.target,
		Spawned: a.spawned, Killed: a.killed, Reloads: a.reloads,
	}
	switch a.mode {
	case running:
	case stopDrain:
		out.State = control.StateDraining
	case stopGraceful, stopQuick:
		out.State = control.StateStopping
	}
	for _, w := range a.byAge() {
		out.Workers = append(out.Workers, control.Worker{
			PID: w.pid, Age: w.age, Started: w.started, Booted: w.state != starting, Aborted: w.aborted,
			Retiring: w.state == leaving || w.state == draining, LastBeat: w.heard,
			Requests: int64(w.stats.Requests), Active: w.stats.InFlight, Connections: w.stats.Connections, Memory: int64(w.stats.Memory),
		})
	}
	for _, l := range a.listeners {
		out.Listeners = append(out.Listeners, control.Listener{Address: shownAddress(l, secure), FD: l.fd, Type: family(l)})
	}
	return out
}

func shownAddress(l *Listener, secure bool) string {
	switch {
	case l.path != "":
		return "unix:" + l.path
	case secure:
		return "https://" + l.Addr.String()
	default:
		return "http://" + l.Addr.String()
	}
}

func family(l *Listener) string {
	tcp, ok := l.Addr.(*net.TCPAddr)
	switch {
	case !ok:
		return "unix"
	case tcp.IP.To4() == nil:
		return "tcp6"
	default:
		return "tcp"
	}
}

// Peer is a worker that can be asked through its private socket.
type Peer struct {
	PID, Age int
	Name     string
}

// Peers lists the workers that serve.
func (a *Arbiter) Peers(ctx context.Context) []Peer {
	var out []Peer
	a.do(ctx, func() {
		for _, w := range a.byAge() {
			if w.state != starting {
				out = append(out, Peer{PID: w.pid, Age: w.age, Name: w.name})
			}
		}
	})
	return out
}

// Config implements control.Arbiter.
func (s *Steering) Config(context.Context) (control.Config, error) { return s.config(), nil }

// Connections implements control.Arbiter: the figures of the last beats.
func (s *Steering) Connections(ctx context.Context) ([]control.Connections, error) {
	var out []control.Connections
	err := s.inLoop(ctx, func(a *Arbiter) error {
		for _, w := range a.byAge() {
			c := control.Connections{PID: w.pid, Age: w.age, Error: w.mute(a.o.Now())}
			if c.Error == "" {
				n := w.stats
				c.Open, c.Active, c.Waiting, c.WebSocket, c.Polling = n.Connections, n.InFlight, n.Waiting, n.WebSocket, n.Polling
				c.Idle = max(n.Connections-n.InFlight-n.WebSocket, 0)
			}
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// Streams implements control.Arbiter: the figures of the last beats.
func (s *Steering) Streams(ctx context.Context) ([]control.Streams, error) {
	var out []control.Streams
	err := s.inLoop(ctx, func(a *Arbiter) error {
		for _, w := range a.byAge() {
			c := control.Streams{PID: w.pid, Age: w.age, Error: w.mute(a.o.Now())}
			if c.Error == "" {
				r := w.stats.Realtime
				c.Ready, c.Reason, c.Bus, c.Connections, c.Rooms, c.Streams = r.Ready, r.Reason, r.Bus, r.Connections, r.Rooms, r.Streams
				c.Delivered, c.Replayed, c.FromLog, c.SlowCloses, c.LastSweep = r.Delivered, r.Replayed, r.FromLog, r.SlowCloses, r.LastSweep
			}
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// mute says why a worker's figures are not to be trusted; empty: they are.
func (w *worker) mute(now time.Time) string {
	switch silent := now.Sub(w.heard); {
	case w.state == starting:
		return "starting"
	case silent > muteAfter:
		return fmt.Sprintf("silent for %s", silent.Round(time.Second))
	default:
		return ""
	}
}

// Resize implements control.Arbiter.
func (s *Steering) Resize(ctx context.Context, delta int) (previous, total int, err error) {
	err = s.inLoop(ctx, func(a *Arbiter) error {
		var err error
		previous, total, err = a.resize(delta)
		return err
	})
	return previous, total, err
}

// KillWorker implements control.Arbiter.
func (s *Steering) KillWorker(ctx context.Context, pid int) error {
	return s.inLoop(ctx, func(a *Arbiter) error {
		w := a.workers[pid]
		if w == nil {
			return control.ErrNoWorker
		}
		a.drain(w, "order")
		return nil
	})
}

// Reload implements control.Arbiter.
func (s *Steering) Reload(ctx context.Context) error {
	return s.inLoop(ctx, func(a *Arbiter) error { return a.reload(ctx) })
}

// Reopen implements control.Arbiter.
func (s *Steering) Reopen(ctx context.Context) error {
	return s.inLoop(ctx, func(a *Arbiter) error {
		a.reopenLogs()
		return nil
	})
}

// Stop implements control.Arbiter.
func (s *Steering) Stop(ctx context.Context, mode control.StopMode) error {
	how := map[control.StopMode]stopMode{
		control.StopDrain: stopDrain, control.StopGraceful: stopGraceful, control.StopQuick: stopQuick,
	}[mode]
	return s.inLoop(ctx, func(a *Arbiter) error {
		a.stop(how)
		return nil
	})
}
