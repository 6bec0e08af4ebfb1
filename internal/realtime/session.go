package realtime

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

// Session is one connection's place in the hub. Its methods may be called from
// any goroutine.
type Session struct {
	hub       *Hub
	conn      Conn
	principal any
	detached  atomic.Bool

	// The rest is the hub's.
	grant    uint64 // counts changes of the principal, which is the hub's, too
	rooms    map[string]*membership
	floor    event.Snapshot // everything it shows has been served
	floorAt  uint64         // moment of the floor
	queue    []func()       // requests that wait for their turn
	busy     bool           // a request is being served
	joined   bool           // the hub knows it
	closed   bool           // the hub has let it go
	lost     string         // a sweep was skipped while it replayed: why
	visit    uint64         // the last event that looked at it
	hold     bool           // live events go to the buffer
	buffer   []held
	buffered int // bytes

	firstUncovered uint64 // moment of the first event sent that no position told it covers; 0: none
	lastSent       uint64
	positionAt     time.Time
}

// membership is a session's part in a room: from where on it is served.
type membership struct {
	from  event.Snapshot
	after map[string]int64
}

// covers reports whether e is among what the membership has brought or will bring.
func (m *membership) covers(e *event.Stored) bool {
	if after, ok := m.after[e.Envelope.SequenceStream]; ok {
		return e.Envelope.Sequence > after
	}
	return !m.from.Shows(e.XID)
}

// held is a live event that waits for a replay to end.
type held struct {
	event *event.Stored
	frame Frame
	size  int
}

// Attach takes in a connection that has been authorised as principal and greets
// it. transport is told to the client. Detach the session when the connection
// has ended.
func (h *Hub) Attach(conn Conn, principal any, transport string) (*Session, error) {
	hello, err := h.encode(eventConnected, connected{
		OK: true, Namespace: Namespace, SID: conn.ID(), ServerTime: h.time(), Transport: transport,
	})
	if err != nil {
		return nil, err
	}
	s := &Session{hub: h, conn: conn, principal: principal, rooms: map[string]*membership{}}
	if err := conn.Send(hello); err != nil {
		return nil, err
	}
	if !h.do(func() {
		if !s.detached.Load() {
			s.joined = true
			h.sessions[s] = struct{}{}
			h.counters.connections.Store(int64(len(h.sessions)))
		}
	}) {
		return nil, errStopped
	}
	h.counters.attached.Add(1)
	return s, nil
}

// Detach lets go of the session. It never waits.
func (s *Session) Detach() {
	if s.detached.Swap(true) {
		return
	}
	s.hub.mu.Lock()
	s.hub.gone = append(s.hub.gone, s)
	s.hub.mu.Unlock()
	s.hub.wake()
}

// removeGone forgets detached sessions.
func (h *Hub) removeGone() {
	h.mu.Lock()
	gone := h.gone
	h.gone = nil
	h.mu.Unlock()
	for _, s := range gone {
		h.forget(s)
	}
}

func (h *Hub) forget(s *Session) {
	if s.closed {
		return
	}
	s.closed = true
	for room := range s.rooms {
		h.leave(s, room)
	}
	s.queue, s.buffer, s.buffered = nil, nil, 0
	delete(h.sessions, s)
	h.counters.connections.Store(int64(len(h.sessions)))
}

// close ends a session from our side, with a last word to the client. The
// connection is closed on a goroutine, for it may call back.
func (h *Hub) close(s *Session, reason string) {
	if s.closed {
		return
	}
	h.forget(s)
	if frame, err := h.encode(eventClosing, closing{Reason: reason, Reconnect: !StaysAway(reason)}); err == nil {
		_ = s.conn.Send(frame) // it may be past hearing
	}
	h.work.Go(func() { s.conn.Close(reason) })
}

func (h *Hub) join(s *Session, room string, m *membership) {
	s.rooms[room] = m
	members := h.rooms[room]
	if members == nil {
		members = map[*Session]struct{}{}
		h.rooms[room] = members
	}
	members[s] = struct{}{}
	if m, ok := s.conn.(Member); ok {
		m.Joined(room)
	}
	h.counters.rooms.Store(int64(len(h.rooms)))
}

func (h *Hub) leave(s *Session, room string) {
	delete(s.rooms, room)
	if m, ok := s.conn.(Member); ok {
		m.Left(room)
	}
	delete(h.rooms[room], s)
	if len(h.rooms[room]) == 0 {
		delete(h.rooms, room)
	}
	h.counters.rooms.Store(int64(len(h.rooms)))
}

// Event takes an event of the client. ack, if not nil, gets the answer, once,
// maybe later and from another goroutine; it must not wait.
func (s *Session) Event(name string, args []json.RawMessage, ack func(answer any)) {
	if ack == nil {
		ack = func(any) {}
	}
	switch name {
	case eventSubscribe:
		in, err := parseSubscription(args)
		if err != nil {
			ack(failure(err))
			return
		}
		s.enqueue(func() { s.hub.startSubscribe(s, in, ack) }, ack)
	case eventUnsubscribe:
		var in struct {
			Rooms []string `json:"rooms"`
		}
		err := object(args, &in)
		if err == nil {
			in.Rooms, err = parseRooms(in.Rooms)
		}
		if err != nil {
			ack(failure(err))
			return
		}
		s.enqueue(func() { s.hub.unsubscribe(s, in.Rooms, ack) }, ack)
	case eventHealth:
		ack(s.hub.health(args))
	default:
		ack(failure(badRequest("rt.unknown_event", "There is no event of this name.")))
	}
}

// enqueue puts a request in line; requests of a session are served one by one.
func (s *Session) enqueue(serve func(), ack func(any)) {
	ok := s.hub.do(func() {
		switch {
		case s.closed || !s.joined:
			ack(failure(errs.E(errs.Unavailable, "rt.closed", "The connection has ended.")))
		case len(s.queue) >= s.hub.o.Queue:
			ack(failure(errs.E(errs.RateLimited, "rt.busy", "Too many requests wait on this connection. Wait for an answer first.")))
		default:
			s.queue = append(s.queue, serve)
			s.hub.serveNext(s)
		}
	})
	if !ok {
		ack(failure(errStopped))
	}
}

// serveNext starts the next request, unless one is being served.
func (h *Hub) serveNext(s *Session) {
	for !s.busy && !s.closed && len(s.queue) > 0 {
		serve := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		serve() // sets busy if it takes time
	}
}

func (h *Hub) unsubscribe(s *Session, rooms []string, ack func(any)) {
	left := []string{}
	for _, room := range rooms {
		if s.rooms[room] != nil {
			h.leave(s, room)
			left = append(left, room)
		}
	}
	ack(unsubscribed{OK: true, Rooms: left, Namespace: Namespace, ServerTime: h.time()})
}

func (h *Hub) health(args []json.RawMessage) healthy {
	out := healthy{OK: true, ServerTime: h.time(), Metrics: h.Status(), Echo: json.RawMessage("null")}
	if len(args) > 0 && len(args[0]) <= maxEcho {
		out.Echo = args[0]
	}
	return out
}
