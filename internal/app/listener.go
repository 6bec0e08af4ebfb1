package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// httpListener serves HTTP on one address.
type httpListener struct {
	address string
	handler http.Handler
	log     *slog.Logger
	bound   net.Addr // known once it is ready
}

// Name names the service.
func (l *httpListener) Name() string { return "http" }

// Run serves until ctx ends; then requests that run may end within a few seconds.
func (l *httpListener) Run(ctx context.Context, ready func()) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return errs.Ef(errs.Conflict, "http.port_taken", "The address %s is taken. Stop what uses it, or choose another one with --bind.", l.address)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", l.address, err)
	}
	l.bound = ln.Addr()
	server := &http.Server{
		Handler: l.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(l.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what did not end in time is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
