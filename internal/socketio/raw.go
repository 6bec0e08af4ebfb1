package socketio

import "github.com/gobwas/ws"

// RawSession is an Engine.IO session of a server without namespaces, see [Server.HandleRaw].
type RawSession struct{ conn *conn }

// HandleRaw makes the server one of Engine.IO alone: handle gets every message, one after another for each session, and
// there are no namespaces. It must not wait, for it holds up what the session sends next. Call it before serving.
func (s *Server) HandleRaw(handle func(session RawSession, data []byte, binary bool)) {
	s.onMessage = func(c *conn, p enginePacket) error {
		handle(RawSession{c}, p.data, p.binary)
		return nil
	}
}

// ID returns the id of the session.
func (r RawSession) ID() string { return r.conn.id }

// Send queues a message; it fails as [Socket.Send] does.
func (r RawSession) Send(data []byte, binary bool) error {
	if binary {
		return r.conn.send(newFrame(ws.OpBinary, data))
	}
	return r.conn.send(newFrame(ws.OpText, []byte{engineMessage}, data))
}
