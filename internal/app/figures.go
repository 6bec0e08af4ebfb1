package app

import (
	"strconv"

	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
	"github.com/llmctl/studio/internal/telemetry"
)

// measure adds the figures of what this process has of the Studio.
func (s *studio) measure(m *telemetry.Metrics) {
	pool := func(f func() int32) func() float64 { return func() float64 { return float64(f()) } }
	m.Gauge("llmctl_db_connections_acquired", "Database connections in use.", pool(func() int32 { return s.db.Pool.Stat().AcquiredConns() }))
	m.Gauge("llmctl_db_connections_idle", "Database connections that wait for work.", pool(func() int32 { return s.db.Pool.Stat().IdleConns() }))
	m.Counter("llmctl_db_acquires_total", "Times that a database connection was taken.", func() float64 { return float64(s.db.Pool.Stat().AcquireCount()) })
	m.Counter("llmctl_db_acquires_waited_total", "Of these, those that found none free.", func() float64 { return float64(s.db.Pool.Stat().EmptyAcquireCount()) })
	m.Counter("llmctl_db_acquires_cancelled_total", "Times that the wait for a database connection was given up.",
		func() float64 { return float64(s.db.Pool.Stat().CanceledAcquireCount()) })
	m.Gauge("llmctl_db_connections_max", "Most database connections of this process.", pool(func() int32 { return s.db.Pool.Stat().MaxConns() }))
	m.Counter("llmctl_db_acquire_wait_seconds_total", "Time spent waiting for a database connection.",
		func() float64 { return s.db.Pool.Stat().AcquireDuration().Seconds() })
	m.Gauge("llmctl_bus_ok", "1 while hints reach the other processes.", func() float64 {
		if s.bus.Health().OK {
			return 1
		}
		return 0
	})
	m.Counter("llmctl_bus_published_total", "Hints that were given to the bus.", func() float64 { return float64(s.bus.Health().Published) })
	m.Counter("llmctl_bus_received_total", "Hints of other processes.", func() float64 { return float64(s.bus.Health().Received) })
	m.Counter("llmctl_bus_dropped_total", "Hints and signals that never left; the log has the events.", func() float64 { return float64(s.bus.Health().Dropped) })
	m.Counter("llmctl_bus_undecodable_total", "Messages on the bus that were not ours.", func() float64 { return float64(s.bus.Health().Undecodable) })
	m.Counter("llmctl_bus_reconnects_total", "Subscriptions that were made anew.", func() float64 { return float64(s.bus.Health().Reconnects) })
	s.measureQueues(m)
	s.ragPrices.measure(m)
	s.asking.measure(m)
	m.Counters("llmctl_trace_spans_total", "Spans by what became of them: exported, overflow (the queue was full), failed (the collector did not take them).", "result",
		func() map[string]uint64 {
			t := s.tracer.Stats()
			return map[string]uint64{"exported": t.Exported, "overflow": t.Overflow + s.observer.dropped.Load(), "failed": t.Failed}
		})
	if s.worker != nil {
		s.worker.pods.measure(m)
		m.Counter("llmctl_workers_buried_total", "Workers that this process declared dead.", func() float64 { return float64(s.worker.sweeper.Buried()) })
	}
	if s.realtime != nil {
		s.realtime.measure(m)
	}
	if s.beat != nil {
		s.beat.figures.measure(m)
	}
}

func (r *realtimeSide) measure(m *telemetry.Metrics) {
	gauge := func(name, help string, f func() int64) {
		m.Gauge(name, help, func() float64 { return float64(f()) })
	}
	counter := func(name, help string, f func() int64) {
		m.Counter(name, help, func() float64 { return float64(f()) })
	}
	m.Gauge("llmctl_realtime_ready", "1 while events are delivered in time.", func() float64 {
		if ok, _ := r.hub.Health(); ok {
			return 1
		}
		return 0
	})
	gauge("llmctl_realtime_connections", "Connections that the hub serves.", func() int64 { return r.hub.Status().Connections })
	gauge("llmctl_realtime_rooms", "Rooms with a member in this process.", func() int64 { return r.hub.Status().Rooms })
	gauge("llmctl_realtime_streams", "Event streams with a cursor in this process.", func() int64 { return r.hub.Status().Streams })
	counter("llmctl_realtime_events_delivered_total", "Events times receivers.", func() int64 { return r.hub.Status().Delivered })
	counter("llmctl_realtime_events_replayed_total", "Events that were replayed to a client.", func() int64 { return r.hub.Status().Replayed })
	counter("llmctl_realtime_events_from_log_total", "Events that a sweep brought and no hint.", func() int64 { return r.hub.Status().FromLog })
	counter("llmctl_realtime_gaps_total", "Hints that were ahead of the cursor.", func() int64 { return r.hub.Status().Gaps })
	counter("llmctl_realtime_slow_closes_total", "Connections that were closed because they took no more.", func() int64 { return r.hub.Status().SlowCloses })
	gauge("llmctl_sockets_websocket", "Open sessions over WebSocket.", func() int64 { return int64(r.server.Stats().WebSocket) })
	gauge("llmctl_sockets_polling", "Open sessions over polling.", func() int64 { return int64(r.server.Stats().Polling) })
	gauge("llmctl_sockets_queued_bytes", "Bytes that wait to be sent, over all sessions.", func() int64 { return int64(r.server.Stats().QueuedBytes) })
	m.Counters("llmctl_sockets_closed_total", "Ended sessions by reason.", "reason", func() map[string]uint64 { return r.server.Stats().Closed })
	m.Counters("llmctl_sockets_rejected_total", "Refused requests by cause.", "cause", func() map[string]uint64 { return r.server.Stats().Rejected })
	counter("llmctl_sockets_packets_in_total", "Packets received.", func() int64 { return int64(r.server.Stats().PacketsIn) })
	counter("llmctl_sockets_packets_out_total", "Packets sent.", func() int64 { return int64(r.server.Stats().PacketsOut) })
	r.measureSockets(m)
	r.measureHub(m)
}

func (r *realtimeSide) measureSockets(m *telemetry.Metrics) {
	counter := func(name, help string, f func(s socketio.Stats) uint64) {
		m.Counter(name, help, func() float64 { return float64(f(r.server.Stats())) })
	}
	counter("llmctl_sockets_opened_total", "Sessions that were opened.", func(s socketio.Stats) uint64 { return s.Opened })
	m.Counters("llmctl_sockets_upgrades_total", "Changes from polling to WebSocket.", "result", func() map[string]uint64 {
		s := r.server.Stats()
		return map[string]uint64{"ok": s.Upgrades, "failed": s.UpgradeFailures}
	})
	counter("llmctl_sockets_bytes_in_total", "Bytes received.", func(s socketio.Stats) uint64 { return s.BytesIn })
	counter("llmctl_sockets_bytes_out_total", "Bytes sent.", func(s socketio.Stats) uint64 { return s.BytesOut })
	counter("llmctl_sockets_poll_overlaps_total", "Polls that came while another one of the session waited.", func(s socketio.Stats) uint64 { return s.PollOverlaps })
	counter("llmctl_sockets_ack_timeouts_total", "Questions to clients that were given up unanswered.", func(s socketio.Stats) uint64 { return s.AckTimeouts })
	counter("llmctl_sockets_volatile_drops_total", "Volatile messages times receivers that were busy.", func(s socketio.Stats) uint64 { return s.VolatileDrops })
	counter("llmctl_sockets_ping_timeouts_total", "Sessions that ended since no heartbeat was answered.",
		func(s socketio.Stats) uint64 { return s.Closed[socketio.ReasonPingTimeout] })
	m.Gauges("llmctl_sockets_by_namespace", "Connected sockets.", "namespace", func() map[string]uint64 {
		out := map[string]uint64{}
		for ns, n := range r.server.Stats().Sockets {
			out[ns] = uint64(n)
		}
		return out
	})
	m.Gauges("llmctl_sockets_queue_depth", "Open sessions by the packets that wait on each: so many, and more than the next lower value.", "packets",
		func() map[string]uint64 { return byDepth(r.server.Stats().QueueDepth) })
	m.Histogram("llmctl_sockets_packets_per_write", "Packets that left with one write to a WebSocket.", func() telemetry.Distribution {
		s := r.server.Stats()
		d := telemetry.Distribution{Counts: s.PacketsPerWrite[:], Sum: float64(s.PacketsWritten)}
		for _, b := range socketio.DepthBounds() {
			d.Bounds = append(d.Bounds, float64(b))
		}
		return d
	})
}

func byDepth(d socketio.Depths) map[string]uint64 {
	out := make(map[string]uint64, len(d))
	for i, b := range socketio.DepthBounds() {
		out[strconv.Itoa(b)] = d[i]
	}
	out["+Inf"] = d[len(d)-1]
	return out
}

func (r *realtimeSide) measureHub(m *telemetry.Metrics) {
	counter := func(name, help string, f func(s realtime.Status) int64) {
		m.Counter(name, help, func() float64 { return float64(f(r.hub.Status())) })
	}
	counter("llmctl_realtime_attached_total", "Clients that were taken in.", func(s realtime.Status) int64 { return s.Attached })
	counter("llmctl_realtime_hints_dropped_total", "Hints that the hub had no room for; the log has the events.", func(s realtime.Status) int64 { return s.HintsDropped })
	counter("llmctl_realtime_sweep_errors_total", "Times that the log could not be read.", func(s realtime.Status) int64 { return s.SweepErrors })
	counter("llmctl_realtime_replays_total", "Subscriptions that had missed something.", func(s realtime.Status) int64 { return s.Replays })
	counter("llmctl_realtime_resyncs_total", "Rooms and sessions that were told to fetch anew.", func(s realtime.Status) int64 { return s.Resyncs })
	counter("llmctl_realtime_overflows_total", "Connections that were closed for their replay buffer.", func(s realtime.Status) int64 { return s.Overflows })
	histogram := func(name, help string, unit float64, f func(x realtime.Figures) realtime.Histogram) {
		m.Histogram(name, help, func() telemetry.Distribution {
			h := f(r.hub.Figures())
			d := telemetry.Distribution{Counts: h.Counts, Sum: h.Sum / unit}
			for _, b := range h.Bounds {
				d.Bounds = append(d.Bounds, b/unit)
			}
			return d
		})
	}
	histogram("llmctl_realtime_delivery_seconds", "From an event's emitted_at to its hand-over to a socket, by receiver.", 1000,
		func(x realtime.Figures) realtime.Histogram { return x.Latency })
	histogram("llmctl_realtime_hint_lag_seconds", "From an event's emitted_at to the hint's arrival at this process.", 1000,
		func(x realtime.Figures) realtime.Histogram { return x.Lag })
	histogram("llmctl_realtime_fan_out", "Receivers of an event in this process.", 1,
		func(x realtime.Figures) realtime.Histogram { return x.FanOut })
}
