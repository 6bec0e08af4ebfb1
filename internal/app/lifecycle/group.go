package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// Causes with which a service's context ends (context.Cause).
var (
	// ErrStop is a planned stop: finish what was begun, take nothing new.
	ErrStop = errors.New("stop")
	// ErrDeadline means that the time to finish is over: drop everything.
	ErrDeadline = errors.New("stop deadline passed")
)

// ErrEnded is what a service that returns nil without being stopped is given.
var ErrEnded = errors.New("ended by itself")

const (
	defaultStartTimeout = 5 * time.Minute
	defaultStopTimeout  = 30 * time.Second
	// abandonAfter is what a service gets to notice ErrDeadline.
	abandonAfter = 2 * time.Second
)

// Service is something that runs until its context ends.
type Service interface {
	// Name is used in logs and errors.
	Name() string
	// Run works until ctx ends and returns when everything it started has ended.
	// It calls ready once others may rely on it. When ctx ends, Run stops taking
	// work, finishes what it has, and returns nil or an error of ctx. Any other
	// return ends the whole group.
	Run(ctx context.Context, ready func()) error
}

// Func makes a Service of a function.
func Func(name string, run func(ctx context.Context, ready func()) error) Service {
	return function{name: name, run: run}
}

type function struct {
	name string
	run  func(ctx context.Context, ready func()) error
}

func (f function) Name() string                                { return f.name }
func (f function) Run(ctx context.Context, ready func()) error { return f.run(ctx, ready) }

// Options of a Group. Times that are zero get sensible values.
type Options struct {
	StartTimeout time.Duration // for each service to become ready
	StopTimeout  time.Duration // for all services to end
	Logger       *slog.Logger
}

// Group runs services. It is a Service itself, so groups nest.
type Group struct {
	name     string
	opts     Options
	services []Service
}

// New makes a group; services start in the given order.
func New(name string, opts Options, services ...Service) *Group {
	if opts.StartTimeout <= 0 {
		opts.StartTimeout = defaultStartTimeout
	}
	if opts.StopTimeout <= 0 {
		opts.StopTimeout = defaultStopTimeout
	}
	return &Group{name: name, opts: opts, services: services}
}

// Name is the name given to New.
func (g *Group) Name() string { return g.name }

// running is one started service.
type running struct {
	name  string
	stop  context.CancelCauseFunc
	ready chan struct{}
	ended chan struct{}
	err   error // read it after ended
}

// Run starts the services, calls ready when all are, and stops them when ctx
// ends or one of them fails. It returns nil after a planned stop in time.
func (g *Group) Run(ctx context.Context, ready func()) error {
	// Services outlive ctx for as long as they need to stop in order.
	base := context.WithoutCancel(ctx)
	failed := make(chan *running, len(g.services))
	started := make([]*running, 0, len(g.services))
	var cause error
	for _, service := range g.services {
		if ctx.Err() != nil { // a stop before the start is complete is a stop like any other
			break
		}
		r := launch(base, service, failed)
		started = append(started, r)
		if cause = g.awaitReady(ctx, r, failed); cause != nil {
			break
		}
	}
	if cause == nil && ctx.Err() == nil && len(started) == len(g.services) {
		ready()
		select {
		case <-ctx.Done():
		case r := <-failed:
			cause = r.failure()
		}
	}
	return errors.Join(cause, g.stopAll(base, started, cause))
}

// launch runs a service in a goroutine that stopAll waits for.
func launch(base context.Context, service Service, failed chan<- *running) *running {
	ctx, stop := context.WithCancelCause(base)
	r := &running{name: service.Name(), stop: stop, ready: make(chan struct{}), ended: make(chan struct{})}
	var once sync.Once
	go func() {
		defer stop(ErrStop)
		r.err = guard(ctx, service, func() { once.Do(func() { close(r.ready) }) })
		planned := ctx.Err() != nil
		if planned && (errors.Is(r.err, ctx.Err()) || errors.Is(r.err, context.Cause(ctx))) {
			r.err = nil
		}
		if !planned && r.err == nil {
			r.err = ErrEnded
		}
		close(r.ended)
		failed <- r // has room for every service
	}()
	return r
}

// guard makes an error of a panic, so that the other services still stop in order.
func guard(ctx context.Context, service Service, ready func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return service.Run(ctx, ready)
}

// awaitReady gives nil when r is ready or ctx has ended.
func (g *Group) awaitReady(ctx context.Context, r *running, failed <-chan *running) error {
	timer := time.NewTimer(g.opts.StartTimeout)
	defer timer.Stop()
	select {
	case <-r.ready:
		g.opts.Logger.DebugContext(ctx, "service ready", "service", r.name)
		return nil
	case other := <-failed:
		return other.failure()
	case <-ctx.Done():
		return nil
	case <-timer.C:
		return fmt.Errorf("%s: not ready after %s", r.name, g.opts.StartTimeout)
	}
}

func (r *running) failure() error {
	if r.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", r.name, r.err)
}

// stopAll stops in reverse order; when the time is up, all that is left at once.
func (g *Group) stopAll(ctx context.Context, started []*running, known error) error {
	deadline := time.NewTimer(g.opts.StopTimeout)
	defer deadline.Stop()
	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		r := started[i]
		r.stop(ErrStop)
		select {
		case <-r.ended:
			g.opts.Logger.DebugContext(ctx, "service stopped", "service", r.name)
			if err := r.failure(); err != nil && !errors.Is(known, r.err) {
				errs = append(errs, err)
			}
		case <-deadline.C:
			return errors.Join(append(errs, abandon(started[:i+1]))...)
		}
	}
	return errors.Join(errs...)
}

// abandon gives what is left a last moment and names what does not end.
func abandon(left []*running) error {
	for _, r := range left {
		r.stop(ErrDeadline)
	}
	timer := time.NewTimer(abandonAfter)
	defer timer.Stop()
	var names []string
	expired := false
	for _, r := range left {
		if !expired {
			select {
			case <-r.ended:
			case <-timer.C:
				expired = true
			}
		}
		select {
		case <-r.ended:
		default:
			names = append(names, r.name)
		}
	}
	if len(names) == 0 {
		return ErrDeadline
	}
	return fmt.Errorf("%w: %s did not end", ErrDeadline, strings.Join(names, ", "))
}
