package socketio

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
)

// maxRoomLength bounds the names of rooms.
const maxRoomLength = 512

// ErrTooManyRooms means that a socket would be in more than [Options.MaxRooms] rooms.
var ErrTooManyRooms = errors.New("socketio: too many rooms")

// Audience selects sockets of a namespace: those in any of Rooms, or all when there are none, without those in any of
// Except. Every socket is alone in the room that is called as its id.
type Audience struct {
	Rooms, Except []string
}

// roster knows the sockets of every namespace and their rooms. Its lock is the innermost one.
type roster struct {
	mu     sync.RWMutex
	spaces map[string]*members
}

// members are a namespace's part of the roster.
type members struct {
	sockets map[string]*Socket // by id
	rooms   map[string]map[*Socket]struct{}
}

func (r *roster) add(s *Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spaces == nil {
		r.spaces = map[string]*members{}
	}
	sp := r.spaces[s.namespace]
	if sp == nil {
		sp = &members{sockets: map[string]*Socket{}, rooms: map[string]map[*Socket]struct{}{}}
		r.spaces[s.namespace] = sp
	}
	sp.sockets[s.id] = s
}

func (r *roster) remove(s *Socket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sp := r.spaces[s.namespace]
	if sp == nil || sp.sockets[s.id] != s {
		return
	}
	delete(sp.sockets, s.id)
	for room := range s.rooms {
		sp.leave(s, room)
	}
	s.rooms = nil
}

func (sp *members) leave(s *Socket, room string) {
	delete(sp.rooms[room], s)
	if len(sp.rooms[room]) == 0 {
		delete(sp.rooms, room)
	}
}

// Join puts the socket into rooms, until it leaves them or ends. All or none are joined: it fails with [ErrClosed],
// with [ErrTooManyRooms], or when a name is empty or longer than 512 bytes. Joining twice is joining once.
func (s *Socket) Join(rooms ...string) error {
	for _, room := range rooms {
		if room == "" || len(room) > maxRoomLength {
			return fmt.Errorf("socketio: the name of a room has %d bytes; 1 to %d are accepted", len(room), maxRoomLength)
		}
	}
	r := &s.conn.srv.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	sp := r.spaces[s.namespace]
	if sp == nil || sp.sockets[s.id] != s {
		return ErrClosed
	}
	added := map[string]struct{}{}
	for _, room := range rooms {
		if _, in := s.rooms[room]; !in && room != s.id {
			added[room] = struct{}{}
		}
	}
	if len(s.rooms)+len(added) > s.conn.srv.opts.MaxRooms {
		return ErrTooManyRooms
	}
	if s.rooms == nil {
		s.rooms = map[string]struct{}{}
	}
	for room := range added {
		s.rooms[room] = struct{}{}
		if sp.rooms[room] == nil {
			sp.rooms[room] = map[*Socket]struct{}{}
		}
		sp.rooms[room][s] = struct{}{}
	}
	return nil
}

// Leave takes the socket out of rooms. It cannot leave the one that is called as its id.
func (s *Socket) Leave(rooms ...string) {
	r := &s.conn.srv.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, room := range rooms {
		if _, in := s.rooms[room]; in {
			delete(s.rooms, room)
			r.spaces[s.namespace].leave(s, room)
		}
	}
}

// Rooms returns the rooms that the socket is in, sorted, its id first. A socket that has ended is in none.
func (s *Socket) Rooms() []string {
	r := &s.conn.srv.roster
	r.mu.RLock()
	defer r.mu.RUnlock()
	if sp := r.spaces[s.namespace]; sp == nil || sp.sockets[s.id] != s {
		return nil
	}
	return append([]string{s.id}, slices.Sorted(maps.Keys(s.rooms))...)
}

// Rooms returns the rooms of a namespace that have a member, in no order, the ids of the sockets among them.
func (s *Server) Rooms(namespace string) []string {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	sp := s.roster.spaces[namespace]
	if sp == nil {
		return nil
	}
	return slices.AppendSeq(slices.Collect(maps.Keys(sp.sockets)), maps.Keys(sp.rooms))
}

// HasRoom reports whether a room of a namespace has a member.
func (s *Server) HasRoom(namespace, room string) bool {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	sp := s.roster.spaces[namespace]
	if sp == nil {
		return false
	}
	return sp.sockets[room] != nil || len(sp.rooms[room]) > 0
}

// Sockets returns the sockets of a namespace that a selects, each once, in no order.
func (s *Server) Sockets(namespace string, a Audience) []*Socket {
	s.roster.mu.RLock()
	defer s.roster.mu.RUnlock()
	sp := s.roster.spaces[namespace]
	if sp == nil {
		return nil
	}
	if len(a.Rooms) == 0 {
		return sp.without(a.Except, len(sp.sockets), maps.Values(sp.sockets))
	}
	if room := a.Rooms[0]; len(a.Rooms) == 1 && sp.sockets[room] == nil { // the usual case needs no union
		return sp.without(a.Except, len(sp.rooms[room]), maps.Keys(sp.rooms[room]))
	}
	found := map[*Socket]struct{}{}
	for _, room := range a.Rooms {
		if one := sp.sockets[room]; one != nil {
			found[one] = struct{}{}
		}
		maps.Copy(found, sp.rooms[room])
	}
	return sp.without(a.Except, len(found), maps.Keys(found))
}

func (sp *members) without(except []string, count int, sockets iter.Seq[*Socket]) []*Socket {
	out := make([]*Socket, 0, count)
	for s := range sockets {
		if !slices.ContainsFunc(except, func(room string) bool { return s.in(room) }) {
			out = append(out, s)
		}
	}
	return out
}

func (s *Socket) in(room string) bool {
	_, in := s.rooms[room]
	return in || room == s.id
}

// Broadcast queues a message for the sockets of its namespace that a selects, and returns how many that were. Like
// [Socket.Send] it waits for nobody and ends the sessions of those who take no more.
func (s *Server) Broadcast(m *Message, a Audience) int {
	n := 0
	for _, one := range s.Sockets(m.namespace, a) {
		if one.Send(m) == nil {
			n++
		}
	}
	return n
}

// BroadcastVolatile is Broadcast with [Socket.SendVolatile].
func (s *Server) BroadcastVolatile(m *Message, a Audience) int {
	n := 0
	for _, one := range s.Sockets(m.namespace, a) {
		if sent, err := one.SendVolatile(m); sent && err == nil {
			n++
		}
	}
	return n
}

// SendVolatile queues a message if it can go out at once, and drops it otherwise: while something else is on its way
// to the client, or while no poll of it waits. It fails as [Socket.Send] does, but never with [ErrSlow].
func (s *Socket) SendVolatile(m *Message) (sent bool, err error) {
	if m.namespace != s.namespace {
		return false, fmt.Errorf("socketio: message for %q sent to a socket in %q", m.namespace, s.namespace)
	}
	if s.closed.Load() {
		return false, ErrClosed
	}
	return s.conn.sendVolatile(m.frames)
}

func (c *conn) sendVolatile(frames []frame) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseOpen && (c.frames > 0 || (c.link == nil && c.poll == nil)) {
		c.srv.stats.volatileDrops.Add(1)
		return false, nil
	}
	if err := c.sendLocked(frames...); err != nil {
		return false, err
	}
	return true, nil
}
