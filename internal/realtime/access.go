package realtime

import (
	"context"

	"github.com/llmctl/studio/internal/errs"
)

// Access is decided when a client connects and when it subscribes, and may be lost
// later. Who notices ends the sessions or tells the hub whom they belong to by now.

// departed is what a client is told about rooms that it does not hear any more.
type departed struct {
	Rooms []denial `json:"rooms"`
}

// StaysAway tells whether a client that was closed for the reason is not to come back
// by itself.
func StaysAway(reason string) bool { return reason == ReasonRevoked || reason == ReasonDismissed }

// End closes sessions for one of the reasons.
func (h *Hub) End(sessions []*Session, reason string) {
	h.do(func() {
		for _, s := range sessions {
			if s.joined {
				h.close(s, reason)
			}
		}
	})
}

// Reassess replaces the principal of sessions and takes them out of the rooms that it
// may not listen to, which they are told.
func (h *Hub) Reassess(sessions []*Session, principal any) {
	h.do(func() {
		for _, s := range sessions {
			if s.closed || !s.joined {
				continue
			}
			s.principal = principal
			s.grant++ // what was allowed before, and is not done yet, is asked for again
			h.reassess(s)
		}
	})
}

// reassess asks outside the hub's goroutine, since deciding may wait.
func (h *Hub) reassess(s *Session) {
	rooms := make([]string, 0, len(s.rooms))
	for room := range s.rooms {
		rooms = append(rooms, room)
	}
	principal, grant := s.principal, s.grant
	h.work.Go(func() {
		ctx, cancel := context.WithTimeout(h.ctx, h.o.RequestTimeout)
		defer cancel()
		_, denied, err := h.authorize(ctx, principal, rooms)
		h.do(func() {
			switch {
			case s.closed || s.grant != grant:
			case err != nil, len(denied) > 0 && s.hold:
				// Nobody could tell, or a replay for these rooms is under way. Whoever comes
				// back is asked again.
				h.close(s, ReasonAccess)
			case len(denied) > 0:
				h.expel(s, denied)
			}
		})
	})
}

func (h *Hub) expel(s *Session, denied []denial) {
	for _, d := range denied {
		if s.rooms[d.Room] != nil {
			h.leave(s, d.Room)
		}
	}
	if frame, err := h.encode(eventLeft, departed{Rooms: denied}); err == nil {
		h.send(s, frame)
	}
}

// errAccessChanged answers a subscription during which somebody's rights changed.
func errAccessChanged() error {
	return errs.E(errs.Unavailable, "rt.access_changed", "Your access has just changed. Ask again.")
}
