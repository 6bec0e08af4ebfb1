package realtime

import (
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
)

func (h *Hub) handleHint(hint bus.Hint) {
	if hint.Stream == "" || hint.Envelope == nil {
		// It may tell of something that is known already.
		if c := h.cursors[hint.Stream]; c != nil && hint.Sequence <= c.sequence {
			h.counters.duplicates.Add(1)
			return
		}
		h.requestSweep()
		return
	}
	e := hint.Envelope
	if h.processed(e) {
		h.counters.duplicates.Add(1)
		return
	}
	next := int64(1)
	if c := h.cursors[hint.Stream]; c != nil {
		next = c.sequence + 1
	}
	if hint.Sequence != next {
		h.counters.gaps.Add(1)
		h.requestSweep()
		return
	}
	h.moment++
	h.process(e, h.moment)
}

// processed reports whether e has gone through process.
func (h *Hub) processed(e *event.Stored) bool {
	if h.position.Shows(e.XID) {
		return true
	}
	c := h.cursors[e.Envelope.SequenceStream]
	return c != nil && e.Envelope.Sequence <= c.sequence
}

// process hands the next event of a stream to those who are in its rooms. moment
// tells which position will cover it.
func (h *Hub) process(e *event.Stored, moment uint64) {
	name := e.Envelope.SequenceStream
	c := h.cursors[name]
	if c == nil {
		c = &cursor{}
		h.cursors[name] = c
		h.counters.streams.Store(int64(len(h.cursors)))
	}
	c.sequence, c.xid, c.used, c.rooms = e.Envelope.Sequence, e.XID, h.o.Now(), e.Envelope.RoomKeys
	h.counters.processed.Add(1)
	visit := h.counters.processed.Load()
	defer h.measure(e, h.counters.delivered.Load())

	var frame Frame
	size := 0
	for _, room := range e.Envelope.RoomKeys {
		for s := range h.rooms[room] {
			if s.visit == uint64(visit) || s.floor.Shows(e.XID) {
				continue
			}
			s.visit = uint64(visit)
			if frame == nil {
				var err error
				if frame, size, err = h.encodeEnvelope(e); err != nil {
					h.o.Logger.ErrorContext(h.ctx, "event cannot be sent", "error", err)
					return
				}
			}
			h.deliver(s, held{event: e, frame: frame, size: size}, moment)
		}
	}
}

// measure notes how many got an event and how long after it was emitted.
func (h *Hub) measure(e *event.Stored, deliveredBefore int64) {
	receivers := h.counters.delivered.Load() - deliveredBefore
	h.fanOut.add(float64(receivers), 1)
	if receivers > 0 {
		h.latency.add(milliseconds(h.o.Now().Sub(e.Envelope.EmittedAt.Time)), uint64(receivers))
	}
}

// deliver sends an event, or keeps it until the replay has ended.
func (h *Hub) deliver(s *Session, e held, moment uint64) {
	if !s.hold {
		if h.send(s, e.frame) {
			s.sent(moment)
			h.counters.delivered.Add(1)
		}
		return
	}
	if len(s.buffer) >= h.o.BufferEvents || s.buffered+e.size > h.o.BufferBytes {
		h.counters.overflows.Add(1)
		h.close(s, ReasonOverflow)
		return
	}
	s.buffer = append(s.buffer, e)
	s.buffered += e.size
}

// send queues a frame; false means that the session has ended.
func (h *Hub) send(s *Session, frame Frame) bool {
	if s.closed {
		return false
	}
	if err := s.conn.Send(frame); err != nil {
		if !s.detached.Load() {
			h.counters.slow.Add(1)
		}
		h.o.Logger.InfoContext(h.ctx, "connection takes no more", "error", err, "sid", s.conn.ID())
		h.close(s, ReasonSlow)
		return false
	}
	return true
}

// sent notes that the session got an event at that moment.
func (s *Session) sent(moment uint64) {
	if s.firstUncovered == 0 || moment < s.firstUncovered {
		s.firstUncovered = moment
	}
	s.lastSent = max(s.lastSent, moment)
}

// tellPosition sends a position that covers all that the session was sent,
// unless it was told one within the interval; a sweep will tell it then.
func (h *Hub) tellPosition(s *Session, position event.Snapshot) {
	now := h.o.Now()
	if s.closed || now.Sub(s.positionAt) < h.o.PositionInterval {
		return
	}
	frame, err := h.encode(eventPosition, positioned{Position: position.String()})
	if err != nil {
		h.o.Logger.ErrorContext(h.ctx, "position cannot be sent", "error", err)
		return
	}
	if h.send(s, frame) {
		s.positionAt, s.firstUncovered = now, 0
	}
}

// tellPositions sends the position, reached by a sweep that began at moment, to
// those who were sent something that it covers.
func (h *Hub) tellPositions(moment uint64) {
	var frame Frame
	now := h.o.Now()
	for s := range h.sessions {
		// A floor that is younger than the sweep may show more than the position,
		// and so may what waits in the buffer.
		if s.firstUncovered == 0 || s.firstUncovered > moment || s.floorAt > moment || s.hold ||
			now.Sub(s.positionAt) < h.o.PositionInterval {
			continue
		}
		if frame == nil {
			var err error
			if frame, err = h.encode(eventPosition, positioned{Position: h.position.String()}); err != nil {
				h.o.Logger.ErrorContext(h.ctx, "position cannot be sent", "error", err)
				return
			}
		}
		if !h.send(s, frame) {
			continue
		}
		s.positionAt = now
		s.firstUncovered = 0
		if s.lastSent > moment {
			s.firstUncovered = moment + 1
		}
	}
}
