package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/socketio"
)

// Authenticate finds out who opens a connection: from the request's cookie, or
// from the auth object of the client.
type Authenticate func(ctx context.Context, r *http.Request, auth json.RawMessage) (principal any, err error)

// SocketIO makes the handler of [Namespace]. A refusal that is an *errs.Error is
// told to the client as connect_error with data {code, reason}.
//
// At the end, stop the hub before the Socket.IO server: the hub says rt.closing,
// the server ends the sessions in the way after which clients come back.
func SocketIO(hub *Hub, authenticate Authenticate) socketio.Handler {
	g := &gate{hub: hub, authenticate: authenticate}
	return socketio.Handler{Authorize: g.authorize, Connect: g.connect, Event: g.event, Disconnect: g.disconnect}
}

// EncodeSocketIO is Options.Encode for connections of [SocketIO].
func EncodeSocketIO(name string, args ...json.RawMessage) (Frame, error) {
	return socketio.NewMessage(Namespace, name, args...)
}

// gate joins sockets to sessions.
type gate struct {
	hub          *Hub
	authenticate Authenticate
	sessions     sync.Map // *socketio.Socket: *Session
}

func (g *gate) authorize(ctx context.Context, r *http.Request, auth json.RawMessage) (any, error) {
	principal, err := g.authenticate(ctx, r, auth)
	if err == nil {
		return principal, nil
	}
	if e, ok := errors.AsType[*errs.Error](err); ok && e.Code != errs.Internal {
		return nil, &socketio.ConnectError{Message: e.Message, Data: map[string]any{"code": e.Code, "reason": e.Reason}}
	}
	return nil, err // logged there, and told without its text
}

func (g *gate) connect(s *socketio.Socket) {
	session, err := g.hub.Attach(socket{s}, s.Principal(), s.Transport())
	if err != nil {
		// The socket is dead already or the process is ending; either way it ends
		// without us. Its requests are answered in the meantime.
		g.hub.o.Logger.InfoContext(s.Context(), "connection not taken in", "error", err, "sid", s.ID())
		return
	}
	g.sessions.Store(s, session)
}

func (g *gate) event(s *socketio.Socket, name string, args []json.RawMessage, ack func(args ...any)) {
	answer := func(any) {}
	if ack != nil {
		answer = func(a any) { ack(a) }
	}
	session, ok := g.session(s)
	if !ok {
		answer(failure(errStopped))
		return
	}
	session.Event(name, args, answer)
}

func (g *gate) disconnect(s *socketio.Socket, _ string) {
	if session, ok := g.session(s); ok {
		g.sessions.Delete(s)
		session.Detach()
	}
}

func (g *gate) session(s *socketio.Socket) (*Session, bool) {
	v, _ := g.sessions.Load(s)
	session, ok := v.(*Session)
	return session, ok
}

// socket is a Conn over Socket.IO.
type socket struct{ s *socketio.Socket }

// ID is the socket's id.
func (c socket) ID() string { return c.s.ID() }

// Send queues a message of EncodeSocketIO.
func (c socket) Send(frame Frame) error {
	m, ok := frame.(*socketio.Message)
	if !ok {
		return fmt.Errorf("frame is a %T", frame)
	}
	return c.s.Send(m)
}

// Close ends the socket. At shutdown it does nothing: after a disconnect by the
// server the official client would stay away, and the Socket.IO server is about
// to end the sessions in another way.
func (c socket) Close(reason string) {
	if reason != ReasonShutdown {
		c.s.Disconnect(false)
	}
}
