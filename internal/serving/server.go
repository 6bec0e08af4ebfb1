package serving

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// ServerOptions describe what a process serves and its bounds.
type ServerOptions struct {
	Handler   http.Handler
	Listeners []net.Listener
	TLS       *tls.Config // nil: plain HTTP
	Log       *slog.Logger
	Keepalive time.Duration // how long an idle connection is kept
	Grace     time.Duration // how long a drain may take
	// Connections that may be open at once; further ones wait in the backlog.
	Connections int
	// Threads bounds the requests that are worked at once; 0: no limit. Exempt tells
	// which ones do not count, because they wait rather than work.
	Threads int
	Exempt  func(*http.Request) bool
	// MaxRequests after which Recycle is called, once; 0: never.
	MaxRequests int
	Recycle     func()
	// Leave is called when a drain begins: long-lived connections are told to move. It
	// returns when they are gone or ctx ends.
	Leave func(ctx context.Context)
}

// Server serves HTTP on inherited or own sockets. It is a service of the process:
// when the context of Run ends, it drains.
type Server struct {
	o        ServerOptions
	http     *http.Server
	gate     *gate
	threads  *threads
	stall    time.Duration
	draining atomic.Bool
	requests atomic.Uint64
	inFlight atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]struct{} // open and not hijacked
	empty chan struct{}         // closed when conns is empty during a drain
}

// The bounds of what a client may send before a request begins.
const (
	headerTimeout  = 10 * time.Second
	maxHeaderBytes = 64 << 10
)

// stallTimeout is how long a client may take nothing of an answer.
const stallTimeout = 30 * time.Second

// NewServer makes a server.
func NewServer(o ServerOptions) *Server { return newServer(o, stallTimeout) }

func newServer(o ServerOptions, stall time.Duration) *Server {
	s := &Server{o: o, stall: stall, gate: newGate(o.Connections), threads: newThreads(o.Threads), conns: map[net.Conn]struct{}{}}
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ReadHeaderTimeout: headerTimeout, IdleTimeout: o.Keepalive, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), ConnState: s.track,
		// HTTP/1.1 only: what proxies speak to us, and what a WebSocket needs.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	return s
}

// Name names the service.
func (s *Server) Name() string { return "http" }

// Run serves until ctx ends, then drains: see the package comment.
func (s *Server) Run(ctx context.Context, ready func()) error {
	var accepting errgroup.Group
	stopped := make(chan struct{})
	for _, ln := range s.o.Listeners {
		gated := s.gate.listen(ln)
		if s.o.TLS != nil {
			gated = tls.NewListener(gated, s.o.TLS)
		}
		accepting.Go(func() error {
			if err := s.http.Serve(gated); !errors.Is(err, http.ErrServerClosed) && !s.draining.Load() {
				return fmt.Errorf("serve %s: %w", ln.Addr(), err)
			}
			return nil
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- accepting.Wait(); close(stopped) }()
	ready()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	for _, ln := range s.o.Listeners {
		_ = ln.Close()
	}
	s.gate.close()
	<-stopped // a connection that was just being accepted counts
	s.drain(context.WithoutCancel(ctx))
	return nil
}

// drain ends what there is without failing a request. Nothing is accepted any more.
func (s *Server) drain(ctx context.Context) {
	grace, cancel := context.WithTimeout(ctx, s.o.Grace)
	defer cancel()
	var leaving sync.WaitGroup
	if s.o.Leave != nil {
		leaving.Go(func() { s.o.Leave(grace) })
	}
	select {
	case <-s.idle():
	case <-grace.Done():
		s.o.Log.WarnContext(ctx, "requests did not end within GUNICORN_GRACEFUL_TIMEOUT and are cut off", "in_flight", s.inFlight.Load())
	}
	leaving.Wait()
	_ = s.http.Close()
}

// idle is closed once no connection is left.
func (s *Server) idle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.empty = make(chan struct{})
	if len(s.conns) == 0 {
		close(s.empty)
	}
	return s.empty
}

func (s *Server) track(c net.Conn, state http.ConnState) {
	if state == http.StateActive || state == http.StateIdle {
		return // twice a request, and of no interest
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
		if s.empty != nil && len(s.conns) == 0 {
			select {
			case <-s.empty:
			default:
				close(s.empty)
			}
		}
	case http.StateActive, http.StateIdle:
	}
}

// serve counts and bounds a request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	closing := &closingWriter{ResponseWriter: w, control: http.NewResponseController(w), stall: s.stall, draining: &s.draining}
	closing.extend()       // what the last answer on this connection left may be over
	defer closing.extend() // the rest of the answer is sent after the handler
	if s.o.Exempt == nil || !s.o.Exempt(r) {
		if !s.threads.enter(r.Context()) {
			refuse(closing)
			return
		}
		defer s.threads.leave()
	}
	s.o.Handler.ServeHTTP(closing, r)
	n := s.requests.Add(1)
	if s.o.MaxRequests > 0 && n == uint64(s.o.MaxRequests) && s.o.Recycle != nil {
		s.o.Recycle()
	}
}

// refuse answers a request for which there is no place in line.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{"type":"about:blank","title":"Service Unavailable","status":503,"code":"unavailable","reason":"serve.busy",` +
		`"detail":"All threads are busy and the line is full. Try again, or raise GUNICORN_THREADS."}` + "\n"))
}

// Counts gives the server's part of the worker's figures.
func (s *Server) Counts() Stats {
	return Stats{
		Requests: s.requests.Load(), InFlight: int(s.inFlight.Load()), Waiting: s.threads.waiting(), Connections: s.gate.open(),
	}
}

// closingWriter ends the connection with its answer when the process drains. That
// is decided when the answer begins, which may be long after the request. It also
// ends a connection whose client takes nothing for long.
type closingWriter struct {
	http.ResponseWriter
	control  *http.ResponseController
	stall    time.Duration
	draining *atomic.Bool
	wrote    bool
}

// extend gives the client time to take what is sent next.
func (w *closingWriter) extend() {
	if w.stall == 0 {
		return
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) // a writer that has none needs none
}

func (w *closingWriter) WriteHeader(status int) {
	w.extend()
	if !w.wrote && w.draining.Load() && status >= http.StatusOK {
		w.Header().Set("Connection", "close")
	}
	w.wrote = w.wrote || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

func (w *closingWriter) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	} else {
		w.extend()
	}
	return w.ResponseWriter.Write(p)
}

// Hijack hands the connection over; its deadlines are the taker's from then on.
func (w *closingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.control.Hijack()
	if err == nil {
		w.stall = 0
	}
	return conn, rw, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *closingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
