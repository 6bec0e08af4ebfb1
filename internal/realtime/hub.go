package realtime

import (
	"context"
	"errors"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

// Hub delivers the event log to the sessions of this process.
type Hub struct {
	o              Options
	numbered, node *regexp.Regexp
	counters       counters

	latency, lag, fanOut *histogram

	hints   chan bus.Hint
	missed  atomic.Bool   // hints were dropped here
	nudge   chan struct{} // missed was set, or sessions have gone
	calls   chan func()   // run on the hub's goroutine
	pages   chan page     // from the sweep
	replays chan struct{} // slots
	started atomic.Bool
	stopped chan struct{} // closed when the hub takes nothing more

	mu   sync.Mutex
	gone []*Session // detached, to be removed by the hub

	state // owned by the goroutine of Run
}

// state is the hub's own; nothing else touches it.
type state struct {
	ctx      context.Context //nolint:containedctx // that of Run, for the goroutines that the hub starts
	work     sync.WaitGroup
	position event.Snapshot
	cursors  map[string]*cursor
	rooms    map[string]map[*Session]struct{}
	sessions map[*Session]struct{}
	moment   uint64 // counts processed events and finished replays
	sweep    sweepState
	evicted  time.Time
}

// cursor is the number of a stream that was last processed.
type cursor struct {
	sequence int64
	xid      uint64
	used     time.Time
	rooms    []string // of that event
}

// errStopped answers those who ask a hub that has ended.
var errStopped = errs.E(errs.Unavailable, "rt.shutdown", "The server is shutting down. Connect again.")

// New makes a hub; it works while Run runs.
func New(o Options) (*Hub, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &Hub{
		o: o, hints: make(chan bus.Hint, o.Hints), nudge: make(chan struct{}, 1),
		calls: make(chan func(), 1024), pages: make(chan page),
		replays: make(chan struct{}, o.Replays), stopped: make(chan struct{}),
	}
	h.numbered, h.node = roomPatterns()
	h.latency, h.lag, h.fanOut = newHistogram(latencyBounds()), newHistogram(latencyBounds()), newHistogram(fanOutBounds())
	h.cursors, h.rooms, h.sessions = map[string]*cursor{}, map[string]map[*Session]struct{}{}, map[*Session]struct{}{}
	return h, nil
}

// Name is "realtime".
func (*Hub) Name() string { return "realtime" }

// Run serves until ctx ends, then closes all sessions and waits for its
// goroutines. It calls ready when the hub has its first position. It runs once.
func (h *Hub) Run(ctx context.Context, ready func()) error {
	if h.started.Swap(true) {
		return errors.New("realtime: the hub runs already or has run")
	}
	inner, cancel := context.WithCancel(ctx)
	h.ctx = inner
	defer h.work.Wait()
	defer cancel()
	defer close(h.stopped)
	defer h.o.Bus.Subscribe(h.onHint)()
	if !h.begin(ctx) {
		return nil
	}
	ready()
	h.loop(ctx)
	h.shutdown()
	return nil
}

// begin takes the first position; false means that ctx ended.
func (h *Hub) begin(ctx context.Context) bool {
	for failures := 0; ; failures++ {
		snapshot, err := h.now(ctx)
		if err == nil {
			h.position = snapshot
			h.counters.swept(h.o.Now())
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		h.o.Logger.WarnContext(ctx, "no position yet, trying again", "error", err)
		timer := time.NewTimer(backoff(failures))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

func (h *Hub) loop(ctx context.Context) {
	h.sweep.timer = time.NewTimer(h.o.SweepInterval)
	defer h.sweep.timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case hint := <-h.hints:
			h.handleHint(hint)
		case call := <-h.calls:
			call()
		case p := <-h.pages:
			h.handlePage(p)
		case <-h.nudge:
			h.removeGone()
			if h.missed.Swap(false) {
				h.requestSweep()
			}
		case <-h.sweep.timer.C:
			h.startSweep() //nolint:contextcheck // what the hub starts ends with its Run
		}
	}
}

// onHint is called by the bus, on any goroutine.
func (h *Hub) onHint(hint bus.Hint) {
	if hint.Envelope != nil {
		h.lag.add(milliseconds(h.o.Now().Sub(hint.Envelope.Envelope.EmittedAt.Time)), 1)
	}
	select {
	case h.hints <- hint:
	default: // the log has it
		h.counters.hintsDropped.Add(1)
		h.missed.Store(true)
		h.wake()
	}
}

func (h *Hub) wake() {
	select {
	case h.nudge <- struct{}{}:
	default:
	}
}

// do runs f on the hub's goroutine, soon; false means never. It must not be
// called from there.
func (h *Hub) do(f func()) bool {
	select {
	case <-h.stopped:
		return false
	default:
	}
	select {
	case h.calls <- f:
		return true
	case <-h.stopped:
		return false
	}
}

// ask runs f on the hub's goroutine and gives its result.
func ask[T any](h *Hub, f func() T) (T, bool) {
	answer := make(chan T, 1)
	var none T
	if !h.do(func() { answer <- f() }) {
		return none, false
	}
	select {
	case v := <-answer:
		return v, true
	case <-h.stopped:
		return none, false
	}
}

// Moves reports whether the hub's loop still turns, or has ended as it should.
func (h *Hub) Moves(ctx context.Context) bool {
	turned := make(chan struct{})
	select {
	case h.calls <- func() { close(turned) }:
	case <-h.stopped:
		return true
	case <-ctx.Done():
		return false
	}
	select {
	case <-turned:
		return true
	case <-h.stopped:
		return true
	case <-ctx.Done():
		return false
	}
}

// shutdown tells all clients to go elsewhere.
func (h *Hub) shutdown() {
	for range len(h.calls) {
		(<-h.calls)() // whoever came in time is told, too
	}
	h.removeGone()
	for s := range h.sessions {
		h.close(s, ReasonShutdown)
	}
}
