package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Options configure a Server. Zero limits stand for the defaults.
type Options struct {
	Socket  *Socket // becomes the server's
	Arbiter Arbiter
	Logger  *slog.Logger
	Now     func() time.Time
	// Audit is told of each command before its answer is sent; nil: nobody is. Its
	// context outlives the server's for a moment.
	Audit func(ctx context.Context, e Entry)

	MaxConnections int           // 32; further ones are answered with an error
	CommandTimeout time.Duration // 10 s for a command, and the same for Audit
	IdleTimeout    time.Duration // 5 min between commands, as with Gunicorn
	FrameTimeout   time.Duration // 10 s for the rest of a frame, and for taking an answer
	Grace          time.Duration // 5 s for commands in flight when the server stops
}

// Peer is the process at the other end of a connection, as the kernel names it.
// Numbers that are not known are -1.
type Peer struct{ PID, UID, GID int }

func unknownPeer() Peer { return Peer{-1, -1, -1} }

// Entry is what somebody asked for, and what came of it.
type Entry struct {
	At      time.Time
	Peer    Peer
	Command string // "worker add 2"; shortened when it is very long
	Changes bool   // it changes something, or was meant to
	Error   string // empty: it was done
	Took    time.Duration
}

// Server answers on the control socket.
type Server struct {
	o       Options
	answers *answers
	slots   chan struct{}
	conns   sync.WaitGroup

	mu      sync.Mutex
	open    map[*net.UnixConn]struct{}
	closing bool
}

// NewServer makes a server; Run serves.
func NewServer(o Options) *Server {
	defaults := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 32
	}
	defaults(&o.CommandTimeout, 10*time.Second)
	defaults(&o.IdleTimeout, 5*time.Minute)
	defaults(&o.FrameTimeout, 10*time.Second)
	defaults(&o.Grace, 5*time.Second)
	return &Server{
		o: o, answers: &answers{arbiter: o.Arbiter, now: o.Now}, slots: make(chan struct{}, o.MaxConnections),
		open: map[*net.UnixConn]struct{}{},
	}
}

// Name names the service.
func (s *Server) Name() string { return "control socket" }

// Run serves until ctx ends. Then the socket goes, commands in flight are answered
// within the grace, and all connections are closed.
func (s *Server) Run(ctx context.Context, ready func()) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx)) // commands in flight outlive ctx
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.accept(base)
	}()
	ready()
	<-ctx.Done()
	err := s.o.Socket.Close()
	<-ended // accepting ends with the socket
	s.stop(cancel)
	return err
}

// accept takes connections until the socket is closed.
func (s *Server) accept(ctx context.Context) {
	for {
		conn, err := s.o.Socket.listener.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Out of file descriptors, for example: that passes, and the arbiter must
			// not end because of it.
			s.o.Logger.WarnContext(ctx, "control socket cannot accept", "error", err)
			if !pause(ctx, time.Second) {
				return
			}
			continue
		}
		if !s.admit(conn) {
			continue
		}
		s.conns.Go(func() {
			defer s.dismiss(conn)
			s.serve(ctx, conn)
		})
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// admit gives the connection a slot; without one it is told so.
func (s *Server) admit(conn *net.UnixConn) bool {
	select {
	case s.slots <- struct{}{}:
	default:
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second)) // an empty socket takes it at once
		_ = writeFrame(conn, refused(noID(), fmt.Sprintf("Too many control connections; at most %d are served. Close one", s.o.MaxConnections)))
		_ = conn.Close()
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[conn] = struct{}{}
	return true
}

func (s *Server) dismiss(conn *net.UnixConn) {
	s.mu.Lock()
	delete(s.open, conn)
	s.mu.Unlock()
	_ = conn.Close()
	<-s.slots
}

// stop ends idle connections at once and the others when they have been answered.
func (s *Server) stop(cancel context.CancelFunc) {
	s.mu.Lock()
	s.closing = true
	for conn := range s.open {
		_ = conn.SetReadDeadline(time.Now())
	}
	s.mu.Unlock()
	done := make(chan struct{})
	go func() {
		s.conns.Wait()
		close(done)
	}()
	timer := time.NewTimer(s.o.Grace)
	defer timer.Stop()
	select {
	case <-done:
		return
	case <-timer.C:
	}
	cancel()
	s.mu.Lock()
	for conn := range s.open {
		_ = conn.Close()
	}
	s.mu.Unlock()
	timer.Reset(time.Second)
	select {
	case <-done:
	case <-timer.C:
		s.o.Logger.Warn("control socket: a command does not end; it is left behind")
	}
}

// await sets how long the next request may take to come; false: none is wanted.
func (s *Server) await(conn *net.UnixConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closing && conn.SetReadDeadline(time.Now().Add(s.o.IdleTimeout)) == nil
}

// serve answers one connection until it ends.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	peer := peerOf(conn)
	for s.await(conn) {
		payload, err := readFrame(conn, maxRequest, func() error {
			return conn.SetReadDeadline(time.Now().Add(s.o.FrameTimeout))
		})
		if large, ok := errors.AsType[*tooLargeError](err); ok {
			s.note(ctx, Entry{At: s.o.Now(), Peer: peer, Command: "?", Error: large.Error()})
			s.reject(conn, large.Error())
			return
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
				s.o.Logger.DebugContext(ctx, "control connection ended", "peer_pid", peer.PID, "error", err)
			}
			return
		}
		if !s.handle(ctx, conn, peer, payload) {
			return
		}
	}
}

// reject answers what cannot be read and ends the connection. The peer may still be
// sending: what comes within a moment is thrown away, so that it gets to read.
func (s *Server) reject(conn *net.UnixConn, why string) {
	if s.write(conn, refused(noID(), why)) != nil || conn.CloseWrite() != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, conn, 8<<20)
}

func (s *Server) write(conn *net.UnixConn, a answer) error {
	if err := conn.SetWriteDeadline(time.Now().Add(s.o.FrameTimeout)); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	err := writeFrame(conn, a)
	if large, ok := errors.AsType[*tooLargeError](err); ok {
		return writeFrame(conn, refused(a.ID, "Command failed: "+large.Error()))
	}
	return err
}

// handle answers one request; false ends the connection.
func (s *Server) handle(ctx context.Context, conn *net.UnixConn, peer Peer, payload []byte) bool {
	began := s.o.Now()
	q, err := parseRequest(payload)
	if errors.Is(err, errNoMessage) {
		s.note(ctx, Entry{At: began, Peer: peer, Command: "?", Error: err.Error()})
		s.reject(conn, "Invalid message: "+err.Error())
		return false
	}
	entry := Entry{At: began, Peer: peer, Command: shorten(joinWords(q.words)), Changes: true}
	var c command
	var args []string
	if err == nil {
		c, args, err = find(q.words)
	}
	if c.run != nil {
		entry.Changes = c.changes
	}
	done := closed()
	var data any
	if err == nil {
		data, err, done = s.execute(ctx, c, args)
	}
	a := accepted(q.id, data)
	if err != nil {
		entry.Error = message(err)
		a = refused(q.id, entry.Error)
	} else if r, ok := data.(result); ok {
		entry.Error = r.Error
	}
	entry.Took = s.o.Now().Sub(began)
	s.note(ctx, entry)
	if err := s.write(conn, a); err != nil {
		s.o.Logger.DebugContext(ctx, "control answer was not taken", "peer_pid", peer.PID, "error", err)
		<-done
		return false
	}
	select {
	case <-done:
		return true
	default: // overdue: its slot is given back when it ends
		_ = conn.CloseWrite()
		<-done
		return false
	}
}

func closed() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// shorten keeps what is noted of a command within bounds.
func shorten(command string) string {
	const most = 256
	if len(command) > most {
		return command[:most] + "…"
	}
	return command
}

// execute runs a command within its time. done is closed when it has really ended,
// which may be later than the error that says it took too long.
func (s *Server) execute(ctx context.Context, c command, args []string) (data any, err error, done <-chan struct{}) { //nolint:revive,staticcheck // done is no result
	ctx, cancel := context.WithTimeout(ctx, s.o.CommandTimeout)
	ended := make(chan struct{})
	var result any
	var failure error
	go func() {
		defer cancel() // not before ended: a done context means overdue
		defer close(ended)
		defer func() {
			if p := recover(); p != nil {
				failure = errs.E(errs.Internal, "control.panic", "the server has a fault; its log says more")
				s.o.Logger.ErrorContext(ctx, "control command panicked", "command", c.name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		result, failure = c.run(s.answers, ctx, args)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		select {
		case <-ended: // it did heed its context, or was done just in time
		default:
			return nil, errs.Ef(errs.Timeout, "control.timeout", "%s did not end within %s; it may still take effect", c.name, s.o.CommandTimeout), ended
		}
	}
	return result, failure, ended
}

// note writes down what was asked for.
func (s *Server) note(ctx context.Context, e Entry) {
	level := slog.LevelDebug
	if e.Changes || e.Error != "" {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("command", e.Command), slog.Int("peer_uid", e.Peer.UID), slog.Int("peer_pid", e.Peer.PID), slog.Duration("duration", e.Took),
	}
	if e.Error != "" {
		attrs = append(attrs, slog.String("error", e.Error))
	}
	s.o.Logger.LogAttrs(ctx, level, "control command", attrs...)
	if s.o.Audit == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.CommandTimeout)
	defer cancel()
	s.o.Audit(ctx, e)
}
