package realtime

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
)

// sweepState is where the hub is with reading the log.
type sweepState struct {
	timer     *time.Timer // fires when the next sweep is due
	running   bool
	requested bool // another one is wanted when this one ends
	failures  int
	ended     time.Time
}

// page is what a sweep hands to the hub: events, or its end.
type page struct {
	events   []event.Stored
	done     bool
	moment   uint64         // when it began
	snapshot event.Snapshot // what is to become the position
	skipped  bool           // there was too much to read
	err      error
}

const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

func backoff(failures int) time.Duration {
	return min(firstBackoff<<min(failures, 10), lastBackoff)
}

// requestSweep wants the log to be looked at now rather than when the second is
// over. Requests while a sweep is running make one more.
func (h *Hub) requestSweep() {
	if h.sweep.requested {
		return
	}
	h.sweep.requested = true
	h.schedule()
}

func (h *Hub) schedule() {
	if h.sweep.running {
		return // its end schedules the next
	}
	wait := h.o.SweepInterval
	if h.sweep.requested {
		wait = h.o.SweepSpacing
	}
	if h.sweep.failures > 0 {
		wait = backoff(h.sweep.failures - 1)
	}
	h.sweep.timer.Reset(max(0, wait-h.o.Now().Sub(h.sweep.ended)))
}

func (h *Hub) startSweep() {
	if h.sweep.running {
		return
	}
	h.sweep.running, h.sweep.requested = true, false
	since, moment, ctx := h.position, h.moment, h.ctx
	passed := h.passed()
	h.work.Go(func() {
		end := page{done: true, moment: moment}
		end.snapshot, end.skipped, end.err = h.readSince(ctx, since, passed, func(events []event.Stored) error {
			return h.hand(ctx, page{events: events, moment: moment})
		})
		_ = h.hand(ctx, end) // the hub has ended otherwise
	})
}

// passed is what hints have brought since the position: a sweep that read it again would
// read nearly all there is, every second and in every process. Cursors are only given up
// between sweeps, so what is passed when one begins is passed when it ends.
func (h *Hub) passed() event.Passed {
	var p event.Passed
	for name, c := range h.cursors {
		if !h.position.Shows(c.xid) {
			p.Add(name, c.sequence)
		}
	}
	return p
}

// hand gives a page to the hub.
func (h *Hub) hand(ctx context.Context, p page) error {
	select {
	case h.pages <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Hub) handlePage(p page) {
	for i := range p.events {
		e := &p.events[i]
		if h.processed(e) {
			continue
		}
		h.counters.swepts.Add(1)
		// The snapshot shows it, so the position of this sweep will cover it.
		h.process(e, p.moment)
	}
	if p.done {
		h.endSweep(p)
	}
}

func (h *Hub) endSweep(p page) {
	h.sweep.running, h.sweep.ended = false, h.o.Now()
	defer h.schedule()
	if p.err != nil {
		h.sweep.failures++
		h.counters.sweepErrors.Add(1)
		h.o.Logger.WarnContext(h.ctx, "log cannot be read, trying again", "error", p.err, "failures", h.sweep.failures)
		return
	}
	h.sweep.failures = 0
	h.position = p.snapshot
	h.counters.swept(h.o.Now())
	if p.skipped {
		h.skip()
	}
	h.evict()
	h.tellPositions(p.moment)
}

// skip gives up on a backlog: the position is past it, so nothing of it will be
// processed, and everyone fetches anew.
func (h *Hub) skip() {
	h.o.Logger.WarnContext(h.ctx, "too much happened while the log could not be read, clients have to fetch anew",
		"limit", h.o.SweepEvents)
	for name, c := range h.cursors {
		if h.position.Shows(c.xid) { // the others are ahead of the position and stay
			delete(h.cursors, name)
		}
	}
	h.counters.streams.Store(int64(len(h.cursors)))
	for s := range h.sessions {
		if len(s.rooms) == 0 {
			continue
		}
		if s.hold {
			s.lost = "backlog"
			continue
		}
		h.tellResync(s, "backlog")
	}
}

func (h *Hub) tellResync(s *Session, reason string) {
	rooms := make([]string, 0, len(s.rooms))
	for room := range s.rooms {
		rooms = append(rooms, room)
	}
	slices.Sort(rooms)
	frame, err := h.encode(eventResync, resync{Rooms: rooms, Position: h.position.String(), Reason: reason})
	if err != nil {
		h.o.Logger.ErrorContext(h.ctx, "resync cannot be told", "error", err)
		return
	}
	if h.send(s, frame) {
		h.counters.resyncs.Add(1)
	}
}

// evict forgets cursors that were not used for long. Without a cursor the
// position has to show all that was processed, or it would be processed again.
func (h *Hub) evict() {
	now := h.o.Now()
	if now.Sub(h.evicted) < h.o.CursorIdle/4 {
		return
	}
	h.evicted = now
	for name, c := range h.cursors {
		if now.Sub(c.used) >= h.o.CursorIdle && h.position.Shows(c.xid) {
			delete(h.cursors, name)
		}
	}
	h.counters.streams.Store(int64(len(h.cursors)))
}

// snapshotTx runs f in a transaction that sees one moment of the log.
func (h *Hub) snapshotTx(ctx context.Context, f func(ctx context.Context, tx pgx.Tx, snapshot event.Snapshot) error) (event.Snapshot, error) {
	// The statements have limits of their own; this one is for a server that does
	// not answer at all.
	ctx, cancel := context.WithTimeout(ctx, 4*h.o.StatementTimeout)
	defer cancel()
	tx, err := h.o.DB.Pool.BeginTx(ctx, pgx.TxOptions{
		BeginQuery: fmt.Sprintf("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = %d",
			h.o.StatementTimeout.Milliseconds()),
	})
	if err != nil {
		return event.Snapshot{}, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(rollback) // it wrote nothing
	}()
	snapshot, err := event.ReadSnapshot(ctx, tx)
	if err != nil {
		return event.Snapshot{}, err
	}
	return snapshot, f(ctx, tx, snapshot)
}

// now gives the moment, for those who have nothing to read at it.
func (h *Hub) now(ctx context.Context) (event.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, h.o.StatementTimeout)
	defer cancel()
	return event.ReadSnapshot(ctx, h.o.DB)
}

// readSince hands all events that since did not show and that are not passed to use, each
// stream in order, in pages. skipped means that there were too many and none was handed
// on.
func (h *Hub) readSince(ctx context.Context, since event.Snapshot, passed event.Passed, use func([]event.Stored) error) (snapshot event.Snapshot, skipped bool, err error) {
	snapshot, err = h.snapshotTx(ctx, func(ctx context.Context, tx pgx.Tx, snapshot event.Snapshot) error {
		if snapshot.String() == since.String() {
			return nil
		}
		events, err := event.ReadNew(ctx, tx, since, passed, h.o.PageEvents)
		if err != nil {
			return err
		}
		if len(events) <= h.o.PageEvents {
			return use(events)
		}
		skipped, err = h.readBacklog(ctx, tx, since, passed, use)
		return err
	})
	return snapshot, skipped, err
}

// readBacklog reads stream by stream, so that memory stays bounded.
func (h *Hub) readBacklog(ctx context.Context, tx pgx.Tx, since event.Snapshot, passed event.Passed, use func([]event.Stored) error) (skipped bool, err error) {
	streams, err := event.ReadBehind(ctx, tx, since, passed)
	if err != nil {
		return false, err
	}
	total := int64(0)
	for _, s := range streams {
		total += s.Count
	}
	if total > int64(h.o.SweepEvents) {
		return true, nil
	}
	for _, s := range streams {
		for after := s.First - 1; ; {
			events, err := event.ReadStream(ctx, tx, s.Stream, after, h.o.PageEvents)
			if err != nil {
				return false, err
			}
			if err := use(events); err != nil {
				return false, err
			}
			if len(events) < h.o.PageEvents {
				break
			}
			after = events[len(events)-1].Envelope.Sequence
		}
	}
	return false, nil
}
