package realtime

import (
	"sync/atomic"
	"time"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
)

// counters are written by the hub and read by anyone.
type counters struct {
	connections, rooms, streams                      atomic.Int64
	attached, delivered, processed, duplicates, gaps atomic.Int64
	hintsDropped, swepts, sweeps, sweepErrors        atomic.Int64
	subscriptions, replays, replayed, resyncs        atomic.Int64
	slow, overflows                                  atomic.Int64
	lastSweep                                        atomic.Int64 // Unix nanoseconds
}

func (c *counters) swept(at time.Time) {
	c.sweeps.Add(1)
	c.lastSweep.Store(at.UnixNano())
}

// Status is a snapshot of the hub for people and metrics. Counters only grow.
type Status struct {
	Ready         bool       `json:"ready"`
	Reason        string     `json:"reason,omitempty"`
	Bus           string     `json:"bus"`
	BusHealth     bus.Health `json:"bus_health"`
	Connections   int64      `json:"connections"`
	Rooms         int64      `json:"rooms"`         // with at least one member here
	Streams       int64      `json:"streams"`       // with a cursor
	Attached      int64      `json:"attached"`      // connections ever
	Processed     int64      `json:"processed"`     // events
	Delivered     int64      `json:"delivered"`     // events times receivers
	Duplicates    int64      `json:"duplicates"`    // hints that told nothing new
	Gaps          int64      `json:"gaps"`          // hints that were ahead
	FromLog       int64      `json:"from_log"`      // events that a sweep brought and no hint
	HintsDropped  int64      `json:"hints_dropped"` // because the hub was busy
	Sweeps        int64      `json:"sweeps"`        // successful ones
	SweepErrors   int64      `json:"sweep_errors"`
	LastSweep     event.Time `json:"last_sweep"`
	Subscriptions int64      `json:"subscriptions"`
	Replays       int64      `json:"replays"`     // subscriptions that had missed something
	Replayed      int64      `json:"replayed"`    // events of these
	Resyncs       int64      `json:"resyncs"`     // rooms and sessions told to fetch anew
	SlowCloses    int64      `json:"slow_closes"` // connections that took no more
	Overflows     int64      `json:"overflows"`   // connections closed for their replay buffer
}

// Status gives the state and the counters.
func (h *Hub) Status() Status {
	c := &h.counters
	ready, reason := h.Health()
	return Status{
		Ready: ready, Reason: reason, Bus: h.o.Bus.Name(), BusHealth: h.o.Bus.Health(),
		Connections: c.connections.Load(), Rooms: c.rooms.Load(), Streams: c.streams.Load(),
		Attached: c.attached.Load(), Processed: c.processed.Load(), Delivered: c.delivered.Load(),
		Duplicates: c.duplicates.Load(), Gaps: c.gaps.Load(), FromLog: c.swepts.Load(),
		HintsDropped: c.hintsDropped.Load(), Sweeps: c.sweeps.Load(), SweepErrors: c.sweepErrors.Load(),
		LastSweep:     event.Time{Time: time.Unix(0, c.lastSweep.Load())},
		Subscriptions: c.subscriptions.Load(), Replays: c.replays.Load(), Replayed: c.replayed.Load(),
		Resyncs: c.resyncs.Load(), SlowCloses: c.slow.Load(), Overflows: c.overflows.Load(),
	}
}

// staleSweeps is how many intervals may pass without reading the log.
const staleSweeps = 10

// Health reports whether this process delivers in time, and if not, why: the bus
// does not carry, or the log has not been read for long.
func (h *Hub) Health() (ready bool, reason string) {
	select {
	case <-h.stopped:
		return false, "shutting down"
	default:
	}
	last := h.counters.lastSweep.Load()
	switch {
	case last == 0:
		return false, "starting"
	case h.o.Now().Sub(time.Unix(0, last)) > staleSweeps*h.o.SweepInterval:
		return false, "the event log has not been read for " + h.o.Now().Sub(time.Unix(0, last)).Round(time.Second).String()
	}
	if b := h.o.Bus.Health(); !b.OK {
		return false, "bus: " + b.Reason
	}
	return true, ""
}
