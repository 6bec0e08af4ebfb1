package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/app/lifecycle"
	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/peers"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
)

// realtimeSide connects the Socket.IO server, which knows nothing of the Studio,
// with the hub, which knows nothing of Socket.IO.
type realtimeSide struct {
	auth    *auth.Service
	hub     *realtime.Hub
	foreign *foreign
	server  *socketio.Server
	self    peers.Worker
	router  *peers.Router
	now     func() time.Time
	access  *accessWatch

	mu       sync.Mutex
	attached map[string]*attached // by socket
}

// attached is a socket that the hub serves.
type attached struct {
	socket    *socketio.Socket
	session   *realtime.Session
	principal auth.Principal // by now; guarded by realtimeSide.mu
	since     time.Time
}

func newRealtime(s *studio) (*realtimeSide, error) {
	r := &realtimeSide{
		auth: s.auth, foreign: s.foreign, self: s.place.self, router: s.place.router, now: s.now, attached: map[string]*attached{},
	}
	r.access = newAccessWatch(r, s.log)
	var err error
	r.hub, err = realtime.New(realtime.Options{
		DB: s.db, Bus: s.bus, Logger: s.log, Now: s.now, Authorize: mayListen,
		Encode: func(event string, args ...json.RawMessage) (realtime.Frame, error) {
			return socketio.NewMessage(realtime.Namespace, event, args...)
		},
	})
	if err != nil {
		return nil, err
	}
	o := socketio.Options{
		PingInterval: s.cfg.SocketIO.PingInterval, PingTimeout: s.cfg.SocketIO.PingTimeout,
		Transports: s.cfg.SocketIO.Transports, Logger: s.log, KeepSilent: !s.cfg.SocketIO.MonitorClients,
		QueueFrames: realtime.QueueFrames, QueueBytes: realtime.QueueBytes,
	}
	o.SessionPrefix, o.Forward = r.router.SessionPrefix(), r.router.Forward
	if s.cfg.SocketIO.Logger {
		o.PacketLogger = s.log
	}
	if s.cfg.SocketIO.EngineIOLogger {
		o.EngineLogger = s.log
	}
	if len(s.cfg.SocketIO.CORSOrigins) > 0 {
		o.AllowOrigin, o.AllowCredentials = socketio.AllowOrigins(s.cfg.SocketIO.CORSOrigins...), true
	}
	if r.server, err = socketio.New(o); err != nil {
		return nil, err
	}
	r.server.Namespace(realtime.Namespace, socketio.Handler{
		Authorize: r.authorize, Connect: r.connect, Event: r.event, Disconnect: r.disconnect,
	})
	if s.foreign != nil {
		return r, s.foreign.serve(r.server)
	}
	return r, nil
}

// mayListen decides on rooms: whoever may read may listen, to anything of the
// one project that there is.
func mayListen(_ context.Context, principal any, _ string) error {
	if p, ok := principal.(auth.Principal); ok && p.May(auth.Read) {
		return nil
	}
	return errs.E(errs.Forbidden, "rt.forbidden", "You may not listen to this room.")
}

// authorize takes an API key from the handshake, or the session cookie.
func (r *realtimeSide) authorize(ctx context.Context, req *http.Request, raw json.RawMessage) (any, error) {
	var given struct {
		Token string `json:"token"`
	}
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &given) // anything else is no token
	}
	var p auth.Principal
	var err error
	if given.Token != "" {
		p, err = r.auth.AuthenticateKey(ctx, given.Token)
	} else {
		p, err = r.auth.Authenticate(ctx, req)
	}
	if errs.Is(err, errs.Unauthenticated) {
		return nil, &socketio.ConnectError{Message: errs.As(err).Message, Data: map[string]any{"code": errs.Unauthenticated}}
	}
	return p, err
}

// client is a socket as the hub sees it.
type client struct{ socket *socketio.Socket }

// ID implements realtime.Conn.
func (c client) ID() string { return c.socket.ID() }

// Send implements realtime.Conn.
func (c client) Send(frame realtime.Frame) error {
	m, ok := frame.(*socketio.Message)
	if !ok {
		return errors.New("not a frame of this server")
	}
	return c.socket.Send(m)
}

// Close implements realtime.Conn. As a rule the client comes back by itself and
// catches up; one that is not to come back is told by a DISCONNECT.
func (c client) Close(reason string) {
	if realtime.StaysAway(reason) {
		c.socket.Disconnect(true)
		return
	}
	c.socket.Drop(reason)
}

func (r *realtimeSide) connect(s *socketio.Socket) {
	var conn realtime.Conn = client{s}
	if r.foreign != nil {
		conn = member{client{s}}
	}
	session, err := r.hub.Attach(conn, s.Principal(), s.Transport())
	if err != nil {
		s.Drop("not attached")
		return
	}
	p, _ := s.Principal().(auth.Principal)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attached[s.ID()] = &attached{socket: s, session: session, principal: p, since: r.now()}
}

func (r *realtimeSide) session(s *socketio.Socket) *realtime.Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attached[s.ID()]; a != nil {
		return a.session
	}
	return nil
}

func (r *realtimeSide) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(args ...any)) {
	session := r.session(s)
	if session == nil {
		if ack != nil {
			ack(map[string]any{"ok": false, "error": map[string]any{"code": errs.Unavailable, "reason": "rt.not_attached", "message": "The server is not ready. Connect again."}})
		}
		return
	}
	if ack == nil {
		session.Event(name, args, nil)
		return
	}
	session.Event(name, args, func(answer any) { ack(answer) })
}

func (r *realtimeSide) disconnect(s *socketio.Socket, _ string) {
	session := r.session(s)
	r.mu.Lock()
	delete(r.attached, s.ID())
	r.mu.Unlock()
	if session != nil {
		session.Detach()
	}
}

func (r *realtimeSide) handler() http.Handler { return r.server }

func (r *realtimeSide) notReady() []string {
	if ok, reason := r.hub.Health(); !ok {
		return []string{"realtime: " + reason}
	}
	return nil
}

// leave tells the sockets to move, spread so that they do not all arrive elsewhere
// at the same moment, and waits until they are gone or ctx ends.
func (r *realtimeSide) leave(ctx context.Context) {
	_ = r.server.Drain(ctx, leaveSpread) // what is left when ctx ends is cut off
}

// leaveSpread is long enough for a thousand clients to be taken up by others, each
// after the second or so that the official client waits.
const leaveSpread = 3 * time.Second

func (r *realtimeSide) services() []lifecycle.Service {
	// The hub stops first and says goodbye; then the sockets end.
	return []lifecycle.Service{&socketService{server: r.server}, r.hub, r.access}
}

// socketService ends the sockets when the process stops; they come back to the
// next one.
type socketService struct{ server *socketio.Server }

// Name names the service.
func (s *socketService) Name() string { return "sockets" }

// Run waits for ctx and ends the sockets.
func (s *socketService) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.server.Shutdown(grace); !errors.Is(err, socketio.ErrServerClosed) {
		return err
	}
	return nil
}
