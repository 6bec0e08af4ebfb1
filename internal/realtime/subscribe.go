package realtime

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

// mark is a session's state at the moment from which on its live events wait.
type mark struct {
	ok     bool // the session is still there
	stale  bool // what was allowed may not be any more
	rooms  []string
	fresh  []string // of rooms, those it was not in
	had    map[string]*membership
	denied []denial
	since  event.Snapshot // nothing that it shows is missing in the rooms it had
	floor  event.Snapshot
}

// startSubscribe serves one rt.subscribe on a goroutine of its own. The hub's
// part is done in two steps, begin and finish.
func (h *Hub) startSubscribe(s *Session, in subscription, ack func(any)) {
	s.busy = true
	principal, grant := s.principal, s.grant
	h.work.Go(func() {
		ctx, cancel := context.WithTimeout(h.ctx, h.o.RequestTimeout)
		defer cancel()
		conclude := func(f func()) {
			if !h.do(func() { f(); s.busy = false; h.serveNext(s) }) {
				ack(failure(errStopped))
			}
		}
		allowed, denied, err := h.authorize(ctx, principal, in.rooms)
		if err == nil {
			err = h.takeSlot(ctx)
		}
		if err != nil {
			conclude(func() { ack(failure(unavailable(err))) })
			return
		}
		defer func() { <-h.replays }()
		m, ok := ask(h, func() mark {
			if s.grant != grant {
				return mark{stale: true}
			}
			return h.beginSubscribe(s, allowed, denied)
		})
		if m.stale {
			conclude(func() { ack(failure(errAccessChanged())) })
			return
		}
		if !ok || !m.ok {
			conclude(func() { ack(failure(errStopped)) })
			return
		}
		r, err := h.replay(ctx, m, in)
		if err != nil {
			h.o.Logger.WarnContext(ctx, "subscription failed", "error", err, "sid", s.conn.ID())
			conclude(func() { h.abandonSubscribe(s, m); ack(failure(unavailable(err))) })
			return
		}
		conclude(func() { h.finishSubscribe(s, m, r, ack) })
	})
}

func (h *Hub) takeSlot(ctx context.Context) error {
	select {
	case h.replays <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unavailable is what a client is told when a subscription cannot be served.
func unavailable(err error) error {
	return errs.E(errs.Unavailable, "rt.unavailable", "The event log cannot be read at the moment. Try again soon.").With(err)
}

// beginSubscribe puts the session into the rooms; from here on its live events wait.
func (h *Hub) beginSubscribe(s *Session, allowed []string, denied []denial) mark {
	m := mark{had: maps.Clone(s.rooms), denied: denied, since: h.position, floor: s.floor}
	if s.closed {
		return m
	}
	m.ok = true
	// Both are right; the younger one is less to read.
	if s.floor.Xmin() > m.since.Xmin() {
		m.since = s.floor
	}
	for _, room := range allowed {
		if s.rooms[room] == nil {
			if len(s.rooms) >= h.o.Rooms {
				m.denied = append(m.denied, denial{Room: room, Reason: reasonTooManyRooms})
				continue
			}
			h.join(s, room, &membership{})
			m.fresh = append(m.fresh, room)
		}
		m.rooms = append(m.rooms, room)
	}
	s.hold = true
	return m
}

// finishSubscribe answers, sends what was missed and lets live events through.
func (h *Hub) finishSubscribe(s *Session, m mark, r replayed, ack func(any)) {
	if s.closed {
		return
	}
	missed, live := h.merge(s, m, r)
	h.moment++
	s.floor, s.floorAt = r.snapshot, h.moment
	s.hold, s.buffer, s.buffered = false, nil, 0
	maps.Copy(s.rooms, r.memberships)
	h.counters.subscriptions.Add(1)
	if len(missed) > 0 {
		h.counters.replays.Add(1)
		h.counters.replayed.Add(int64(len(missed)))
	}
	h.counters.resyncs.Add(int64(len(r.resync)))
	ack(subscribed{
		OK: true, Rooms: orEmpty(m.rooms), Denied: m.denied, Position: r.snapshot.String(), Resync: orEmpty(r.resync),
		Namespace: Namespace, ServerTime: h.time(),
	})
	h.flush(s, missed)
	if len(missed) > 0 {
		// The answer came before what was missed; now the position is earned.
		h.tellPosition(s, r.snapshot)
	}
	h.flush(s, live)
	if s.lost != "" && !s.closed {
		h.tellResync(s, s.lost)
		s.lost = ""
	}
}

// merge gives what the replay found and what waited, without doubles, and apart
// from it what only came after the replay's snapshot.
func (h *Hub) merge(s *Session, m mark, r replayed) (missed, live []held) {
	type key struct {
		stream   string
		sequence int64
	}
	seen := make(map[key]bool, len(r.fresh))
	take := func(e held) {
		k := key{e.event.Envelope.SequenceStream, e.event.Envelope.Sequence}
		if !seen[k] {
			seen[k] = true
			missed = append(missed, e)
		}
	}
	for _, e := range r.fresh {
		take(e)
	}
	for _, e := range r.older {
		// What the hub has processed was sent or waits in the buffer. The rest
		// would never be sent, for the new floor shows it.
		if !h.processed(e.event) && !m.floor.Shows(e.event.XID) {
			take(e)
		}
	}
	for _, e := range s.buffer {
		switch {
		case !r.snapshot.Shows(e.event.XID):
			live = append(live, e)
		case anyIn(e.event.Envelope.RoomKeys, m.had):
			take(e)
		}
	}
	slices.SortFunc(missed, func(a, b held) int {
		return cmp.Or(
			cmp.Compare(a.event.Envelope.SequenceStream, b.event.Envelope.SequenceStream),
			cmp.Compare(a.event.Envelope.Sequence, b.event.Envelope.Sequence))
	})
	return missed, live
}

// abandonSubscribe takes the session out of the new rooms and lets through what
// waited for the others.
func (h *Hub) abandonSubscribe(s *Session, m mark) {
	if s.closed {
		return
	}
	for _, room := range m.fresh {
		h.leave(s, room)
	}
	waiting := s.buffer
	s.hold, s.buffer, s.buffered = false, nil, 0
	h.moment++
	h.flush(s, slices.DeleteFunc(waiting, func(e held) bool { return !anyIn(e.event.Envelope.RoomKeys, m.had) }))
	if s.lost != "" && !s.closed {
		if len(s.rooms) > 0 {
			h.tellResync(s, s.lost)
		}
		s.lost = ""
	}
}

func (h *Hub) flush(s *Session, events []held) {
	for _, e := range events {
		if !h.send(s, e.frame) {
			return
		}
		s.sent(h.moment)
		h.counters.delivered.Add(1)
	}
}

func anyIn[V any](rooms []string, in map[string]V) bool {
	return slices.ContainsFunc(rooms, func(room string) bool { _, ok := in[room]; return ok })
}

// orEmpty keeps null off the wire.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
