package app

import (
	"github.com/llmctl/studio/internal/telemetry"
)

// measure adds the figures of what this process has of the Studio.
func (s *studio) measure(m *telemetry.Metrics) {
	pool := func(f func() int32) func() float64 { return func() float64 { return float64(f()) } }
	m.Gauge("llmctl_db_connections_acquired", "Database connections in use.", pool(func() int32 { return s.db.Pool.Stat().AcquiredConns() }))
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
	if s.realtime != nil {
		s.realtime.measure(m)
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
}
