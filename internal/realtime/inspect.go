package realtime

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Looking into the hub, for people. Each question is one turn of the hub's goroutine,
// which only copies; sorting is done by who asks.

// RoomMembers is how many sessions are in a room.
type RoomMembers struct {
	Room    string `json:"room"`
	Members int    `json:"members"`
}

// StreamCursor is up to where a session has been served a stream.
type StreamCursor struct {
	Stream string `json:"stream"`
	Cursor int64  `json:"cursor"`

	used time.Time
}

// SessionView is a session as the hub knows it.
type SessionView struct {
	Rooms      []string       `json:"rooms"`
	CatchingUp bool           `json:"catching_up"` // its live events wait for a replay to end
	Streams    []StreamCursor `json:"streams"`     // of its rooms, the most recently used first
	Requests   int            `json:"requests"`    // that wait for their turn
}

// look runs f on the hub's goroutine, if it gets to it while ctx lasts.
func look[T any](ctx context.Context, h *Hub, f func() T) (T, error) {
	answer := make(chan T, 1)
	var none T
	select {
	case h.calls <- func() { answer <- f() }:
	case <-h.stopped:
		return none, errStopped
	case <-ctx.Done():
		return none, fmt.Errorf("look into the hub: %w", ctx.Err())
	}
	select {
	case v := <-answer:
		return v, nil
	case <-h.stopped:
		return none, errStopped
	case <-ctx.Done():
		return none, fmt.Errorf("look into the hub: %w", ctx.Err())
	}
}

// FullestRooms lists up to n rooms with the most members, and whether these are all.
func (h *Hub) FullestRooms(ctx context.Context, n int) (rooms []RoomMembers, all bool, err error) {
	rooms, err = look(ctx, h, func() []RoomMembers {
		out := make([]RoomMembers, 0, len(h.rooms))
		for room, members := range h.rooms {
			out = append(out, RoomMembers{Room: room, Members: len(members)})
		}
		return out
	})
	slices.SortFunc(rooms, CompareRooms)
	all = len(rooms) <= n
	return rooms[:min(n, len(rooms))], all, err
}

// CompareRooms puts fuller rooms first.
func CompareRooms(a, b RoomMembers) int {
	return cmp.Or(cmp.Compare(b.Members, a.Members), cmp.Compare(a.Room, b.Room))
}

// Members gives the sessions in a room.
func (h *Hub) Members(ctx context.Context, room string) ([]*Session, error) {
	return look(ctx, h, func() []*Session {
		return slices.Collect(maps.Keys(h.rooms[room]))
	})
}

// Describe looks at sessions; each has at most maxStreams streams. What it says of a
// session that has ended is empty.
func (h *Hub) Describe(ctx context.Context, sessions []*Session, maxStreams int) ([]SessionView, error) {
	views, err := look(ctx, h, func() []SessionView { return h.describe(sessions) })
	for i := range views {
		v := &views[i]
		slices.Sort(v.Rooms)
		slices.SortFunc(v.Streams, func(a, b StreamCursor) int {
			return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.Stream, b.Stream))
		})
		v.Streams = v.Streams[:min(maxStreams, len(v.Streams))]
	}
	return views, err
}

func (h *Hub) describe(sessions []*Session) []SessionView {
	views := make([]SessionView, len(sessions))
	inRoom := map[string][]int{} // places in views
	for i, s := range sessions {
		views[i] = SessionView{Rooms: []string{}, Streams: []StreamCursor{}, CatchingUp: s.hold, Requests: len(s.queue)}
		for room := range s.rooms {
			views[i].Rooms = append(views[i].Rooms, room)
			inRoom[room] = append(inRoom[room], i)
		}
	}
	seen := make([]int, len(sessions)) // the last stream that was noted, so that none is noted twice
	nth := 0
	for name, c := range h.cursors {
		nth++
		for _, room := range c.rooms {
			for _, i := range inRoom[room] {
				if seen[i] != nth {
					seen[i] = nth
					views[i].Streams = append(views[i].Streams, StreamCursor{Stream: name, Cursor: c.sequence, used: c.used})
				}
			}
		}
	}
	return views
}
