package realtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/event"
)

// replayed is what a subscription found in the log at one moment.
type replayed struct {
	snapshot    event.Snapshot
	fresh       []held // for the new rooms and for `after`
	older       []held // for the rooms it had: what the hub may not have processed
	resync      []string
	memberships map[string]*membership // of the new rooms
}

// reading is the work on one replay.
type reading struct {
	h      *Hub
	m      mark
	in     subscription
	tx     pgx.Tx
	at     event.Snapshot
	fresh  []event.Stored
	lost   map[string]bool // rooms to be fetched anew
	giveUp bool            // reading took too long before: only tell to fetch
}

const stateQueryCanceled = "57014"

// replay reads what a subscription has missed. It tries again while its time
// lasts; what takes the database too long is not replayed.
func (h *Hub) replay(ctx context.Context, m mark, in subscription) (replayed, error) {
	giveUp := false
	for failures := 0; ; failures++ {
		r, err := h.replayOnce(ctx, m, in, giveUp)
		if err == nil {
			return r, nil
		}
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == stateQueryCanceled {
			giveUp = true
		}
		timer := time.NewTimer(backoff(failures))
		select {
		case <-ctx.Done():
			timer.Stop()
			return r, err
		case <-timer.C:
		}
	}
}

func (h *Hub) replayOnce(ctx context.Context, m mark, in subscription, giveUp bool) (replayed, error) {
	var r replayed
	var older []event.Stored
	rd := &reading{h: h, m: m, in: in, lost: map[string]bool{}, giveUp: giveUp}
	var err error
	if rd.nothing() {
		// As a page does that has just been opened: one statement instead of a transaction.
		rd.at, err = h.now(ctx)
	} else {
		rd.at, err = h.snapshotTx(ctx, func(ctx context.Context, tx pgx.Tx, at event.Snapshot) error {
			rd.tx, rd.at = tx, at
			var err error
			older, err = rd.read(ctx)
			return err
		})
	}
	if err != nil {
		return r, err
	}
	r.snapshot = rd.at
	if r.older, _, err = h.encodeAll(older); err != nil {
		return r, err
	}
	fresh, size, err := h.encodeAll(rd.wanted())
	if err != nil {
		return r, err
	}
	r.fresh = fresh
	if len(r.fresh) > h.o.ReplayEvents || size > h.o.ReplayBytes {
		r.fresh = nil
		rd.lose(m.rooms...)
	}
	r.resync = slices.Sorted(maps.Keys(rd.lost))
	r.memberships = rd.memberships()
	return r, nil
}

// nothing tells that there is nothing to read: the client names no place to go on
// from, and the session had no rooms.
func (rd *reading) nothing() bool {
	return rd.in.position.IsZero() && len(rd.in.after) == 0 && len(rd.m.had) == 0
}

// read reads all there is, and gives what the hub may not have processed yet.
func (rd *reading) read(ctx context.Context) ([]event.Stored, error) {
	if err := rd.readPosition(ctx); err != nil {
		return nil, err
	}
	if err := rd.readAfter(ctx); err != nil {
		return nil, err
	}
	return rd.readOlder(ctx)
}

// readPosition reads what the client's position did not show of the new rooms.
func (rd *reading) readPosition(ctx context.Context) error {
	if rd.in.position.IsZero() || len(rd.m.fresh) == 0 {
		return nil
	}
	horizon, err := ReadHorizon(ctx, rd.tx)
	if err != nil {
		return err
	}
	_, theirs, _ := bounds(rd.in.position)
	_, ours, _ := bounds(rd.at)
	if rd.giveUp || theirs > ours || rd.in.position.Xmin() <= horizon {
		rd.lose(rd.m.fresh...)
		return nil
	}
	events, err := event.ReadSince(ctx, rd.tx, rd.in.position, rd.m.fresh, rd.h.o.ReplayEvents)
	if err != nil {
		return err
	}
	if len(events) > rd.h.o.ReplayEvents {
		rd.lose(rd.m.fresh...)
		return nil
	}
	for _, e := range events {
		if _, ok := rd.in.after[e.Envelope.SequenceStream]; !ok && !rd.covered(&e) {
			rd.fresh = append(rd.fresh, e)
		}
	}
	return nil
}

// covered reports whether a room that the session had has brought e, or will.
func (rd *reading) covered(e *event.Stored) bool {
	return slices.ContainsFunc(e.Envelope.RoomKeys, func(room string) bool {
		m := rd.m.had[room]
		return m != nil && m.covers(e)
	})
}

// readAfter reads the streams that the client knows up to a number.
func (rd *reading) readAfter(ctx context.Context) error {
	for stream, after := range rd.in.after {
		head, err := event.ReadHead(ctx, rd.tx, stream)
		if err != nil {
			return err
		}
		if head.Last == after {
			continue
		}
		var events []event.Stored
		whole := after < head.Last && head.Oldest <= after+1 && !rd.giveUp
		if whole {
			limit := rd.h.o.ReplayEvents
			if events, err = event.ReadStream(ctx, rd.tx, stream, after, limit+1); err != nil {
				return err
			}
			// A stream that was removed whole leaves nothing; one that is cut has a later start.
			whole = len(events) <= limit && len(events) > 0 && events[0].Envelope.Sequence == after+1
		}
		if !whole {
			if err := rd.loseStream(ctx, stream, head); err != nil {
				return err
			}
			continue
		}
		rd.fresh = append(rd.fresh, events...)
	}
	return nil
}

// loseStream marks the asked rooms that get events of a stream.
func (rd *reading) loseStream(ctx context.Context, stream string, head event.Head) error {
	last, err := event.ReadStream(ctx, rd.tx, stream, head.Last-1, 1)
	if err != nil {
		return err
	}
	if slices.Contains(rd.m.rooms, stream) {
		rd.lose(stream)
	} else if len(last) == 0 {
		rd.lose(rd.m.rooms...) // nothing is left that would tell
	}
	for _, e := range last {
		for _, room := range e.Envelope.RoomKeys {
			if slices.Contains(rd.m.rooms, room) {
				rd.lose(room)
			}
		}
	}
	return nil
}

// readOlder reads what the hub may not have processed yet for the rooms that the
// session had.
func (rd *reading) readOlder(ctx context.Context) ([]event.Stored, error) {
	if len(rd.m.had) == 0 {
		return nil, nil
	}
	rooms := slices.Collect(maps.Keys(rd.m.had))
	if rd.giveUp {
		rd.lose(rooms...)
		return nil, nil
	}
	events, err := event.ReadSince(ctx, rd.tx, rd.m.since, rooms, rd.h.o.ReplayEvents)
	if err != nil {
		return nil, err
	}
	if len(events) > rd.h.o.ReplayEvents {
		rd.lose(rooms...)
		return nil, nil
	}
	return events, nil
}

func (rd *reading) lose(rooms ...string) {
	for _, room := range rooms {
		rd.lost[room] = true
	}
}

// wanted gives what was read for rooms that are not to be fetched anew.
func (rd *reading) wanted() []event.Stored {
	return slices.DeleteFunc(rd.fresh, func(e event.Stored) bool {
		return !slices.ContainsFunc(e.Envelope.RoomKeys, func(room string) bool {
			return slices.Contains(rd.m.rooms, room) && !rd.lost[room]
		})
	})
}

// memberships gives the session's parts in the new rooms.
func (rd *reading) memberships() map[string]*membership {
	out := make(map[string]*membership, len(rd.m.fresh))
	for _, room := range rd.m.fresh {
		m := &membership{from: rd.at}
		if !rd.lost[room] {
			m.after = rd.in.after
			if !rd.in.position.IsZero() {
				m.from = rd.in.position
			}
		}
		out[room] = m
	}
	return out
}

func (h *Hub) encodeAll(events []event.Stored) (out []held, size int, err error) {
	out = make([]held, 0, len(events))
	for i := range events {
		frame, n, err := h.encodeEnvelope(&events[i])
		if err != nil {
			return nil, 0, fmt.Errorf("replay: %w", err)
		}
		out = append(out, held{event: &events[i], frame: frame, size: n})
		size += n
	}
	return out, size, nil
}
