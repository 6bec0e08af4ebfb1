package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/llmctl/studio/internal/serving"
	"github.com/llmctl/studio/internal/telemetry"
)

// The internal listener serves figures and profiles to operators. It is apart from
// what users reach, on an address of its own, and knows no sign-in.

// diagnosis serves the figures and the profiles of one process.
func diagnosis(metrics http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// internalListener is a service that serves it on LLMCTL_STUDIO_INTERNAL_BIND.
type internalListener struct {
	address string
	// given tells whether somebody asked for this address: then it must be had. The
	// default one may be taken by a neighbour.
	given   bool
	handler http.Handler
	log     *slog.Logger
}

// Name names the service.
func (l *internalListener) Name() string { return "internal listener" }

// Run serves until ctx ends.
func (l *internalListener) Run(ctx context.Context, ready func()) error {
	socket, err := serving.ListenFor(ctx, "LLMCTL_STUDIO_INTERNAL_BIND", l.address, l.log)
	if err != nil && (l.given || ctx.Err() != nil) {
		return err
	}
	if err != nil {
		l.log.WarnContext(ctx, "no metrics and profiles: set LLMCTL_STUDIO_INTERNAL_BIND to a free address, or to off", "error", err)
		ready()
		<-ctx.Done()
		return nil
	}
	ln, err := socket.Open()
	if err != nil {
		return err
	}
	return serveInternal(ctx, ln, l.handler, l.log, ready)
}

// serveInternal serves handler on ln until ctx ends.
func serveInternal(ctx context.Context, ln net.Listener, handler http.Handler, log *slog.Logger, ready func()) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// privateListener serves a web worker's private socket: its figures and profiles to
// the master, and its sessions to other workers that got a request of one.
type privateListener struct {
	ln      net.Listener
	handler http.Handler
	log     *slog.Logger
}

// Name names the service.
func (l *privateListener) Name() string { return "private socket" }

// Run serves until ctx ends.
func (l *privateListener) Run(ctx context.Context, ready func()) error {
	return serveInternal(ctx, l.ln, l.handler, l.log, ready)
}

// mastersFigures serves the master's figures together with those of its workers.
func (m *master) mastersFigures(own *telemetry.Metrics) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		parts := map[string]prometheus.Gatherer{"master": own.Gatherer()}
		for _, p := range m.arbiter.Peers(ctx) {
			body, err := m.ask(ctx, p, "/metrics")
			if err != nil {
				m.log.WarnContext(ctx, "a worker's figures are missing", "pid", p.PID, "error", err)
				continue
			}
			defer func() { _ = body.Close() }()
			parts[strconv.Itoa(p.Age)] = telemetry.Parse(body)
		}
		w.Header().Set("Content-Type", telemetry.ContentType())
		if err := telemetry.Merge(w, "worker", parts); err != nil {
			m.log.WarnContext(ctx, "a worker's figures are missing", "error", err)
		}
	})
}

// workersProfiles passes /workers/{pid}/debug/pprof/... on to that worker.
func (m *master) workersProfiles(w http.ResponseWriter, r *http.Request) {
	pid, _ := strconv.Atoi(r.PathValue("pid"))
	for _, p := range m.arbiter.Peers(r.Context()) {
		if p.PID != pid {
			continue
		}
		proxy := &httputil.ReverseProxy{
			Transport: serving.PrivateTransport(m.runDir.Path, p.Name, askPatience), FlushInterval: -1,
			Rewrite: func(out *httputil.ProxyRequest) {
				out.Out.URL.Scheme, out.Out.URL.Host = "http", "worker"
				out.Out.URL.Path = "/debug/pprof/" + r.PathValue("rest")
			},
		}
		proxy.ServeHTTP(w, r)
		return
	}
	http.Error(w, "no worker has this pid; llmctl ctl show workers lists them", http.StatusNotFound)
}
