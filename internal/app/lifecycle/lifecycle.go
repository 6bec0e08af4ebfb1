// Package lifecycle starts the services of a process in the order of their
// dependencies and stops them in reverse.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Service is a part of a process that runs until its context ends. Run calls
// ready once when it serves; an error before or after that ends the process. It
// returns nil when it stopped because of its context.
type Service interface {
	Name() string
	Run(ctx context.Context, ready func()) error
}

// Group runs services together.
type Group struct {
	services []Service
	patience time.Duration // how long one service may take to stop
	log      *slog.Logger
}

// NewGroup makes a group; services start in the order given.
func NewGroup(log *slog.Logger, patience time.Duration, services ...Service) *Group {
	return &Group{services: services, patience: patience, log: log}
}

// ErrStopped is the cause of the services' contexts when the group stops.
var ErrStopped = errors.New("stopped")

type running struct {
	service Service
	cancel  context.CancelCauseFunc
	done    chan error
}

// Run starts the services one after the other, calls ready when all serve, and
// waits until ctx ends or one of them fails; then it stops those that run in
// reverse order, each within its patience. The errors of all are joined.
func (g *Group) Run(ctx context.Context, ready func()) error {
	var up []running
	failed := make(chan error, len(g.services))
	var first error
	for _, s := range g.services {
		r, err := g.start(ctx, s, failed)
		if r != nil {
			up = append(up, *r)
		}
		if err != nil {
			first = err
			break
		}
	}
	if first == nil && len(up) == len(g.services) {
		ready()
		select {
		case <-ctx.Done():
		case first = <-failed:
		}
	}
	return errors.Join(first, g.stop(ctx, up))
}

// start runs one service and waits until it is ready, has failed, or ctx ends.
func (g *Group) start(ctx context.Context, s Service, failed chan<- error) (*running, error) {
	// A service must live on while later ones stop, whatever became of ctx.
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &running{service: s, cancel: cancel, done: make(chan error, 1)}
	ready := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		once := false
		err := s.Run(own, func() {
			if !once {
				once = true
				close(ready)
			}
		})
		if err == nil && own.Err() == nil {
			err = errors.New("ended by itself")
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Name(), err)
		}
		ended <- err
		if err != nil && own.Err() == nil {
			failed <- err
			err = nil // reported once
		}
		r.done <- err
	}()
	select {
	case <-ready:
		return r, nil
	case err := <-ended:
		return r, err
	case <-ctx.Done():
		return r, nil
	}
}

func (g *Group) stop(ctx context.Context, up []running) error {
	var failures []error
	for _, r := range slices.Backward(up) {
		r.cancel(ErrStopped)
		timer := time.NewTimer(g.patience)
		select {
		case err := <-r.done:
			failures = append(failures, err)
		case <-timer.C:
			g.log.ErrorContext(ctx, "service does not stop", "service", r.service.Name(), "patience", g.patience)
			failures = append(failures, fmt.Errorf("%s: does not stop", r.service.Name()))
		}
		timer.Stop()
	}
	return errors.Join(failures...)
}
