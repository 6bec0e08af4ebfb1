package socketio

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Stats is a snapshot of a server. The counters only grow.
type Stats struct {
	// Polling and WebSocket are the open sessions by transport; Sockets the sockets by namespace.
	Polling, WebSocket int
	Sockets            map[string]int
	// QueuedFrames and QueuedBytes wait to be sent, over all sessions.
	QueuedFrames, QueuedBytes int

	// Opened counts sessions; Closed counts those that ended, by reason.
	Opened uint64
	Closed map[string]uint64
	// Rejected counts refused requests and connections, by cause: transport, sid, method, request, origin, version,
	// size, capacity, handshake, namespace.
	Rejected map[string]uint64
	// Upgrades and UpgradeFailures count changes from polling to WebSocket.
	Upgrades, UpgradeFailures uint64
	// AckTimeouts counts calls that were given up before the client answered, see [Socket.Call].
	AckTimeouts uint64
	// PollOverlaps counts GETs that came while another one waited.
	PollOverlaps uint64
	// VolatileDrops counts messages times receivers that [Socket.SendVolatile] dropped.
	VolatileDrops uint64
	// PacketsIn, PacketsOut, BytesIn and BytesOut count Engine.IO packets and their bytes; a packet that is dropped
	// after it was queued is counted too. Writes counts writes to WebSockets, each of one or more packets.
	PacketsIn, PacketsOut, BytesIn, BytesOut, Writes uint64
	// PacketsWritten are those of all Writes.
	PacketsWritten uint64
	// PacketsPerWrite counts writes to WebSockets by how many packets each had. QueueDepth counts open sessions by how
	// many packets wait on each now.
	PacketsPerWrite, QueueDepth Depths
}

// counters is the part of [Stats] that is kept.
type counters struct {
	opened, upgrades, upgradeFailures, pollOverlaps, volatileDrops atomic.Uint64
	packetsIn, packetsOut, bytesIn, bytesOut, writes               atomic.Uint64

	ackTimeouts, packetsWritten atomic.Uint64
	packetsPerWrite             [depths]atomic.Uint64

	mu       sync.Mutex
	reasons  map[string]uint64
	rejected map[string]uint64
}

// count adds a length, which is never negative.
func count(counter *atomic.Uint64, n int) {
	counter.Add(uint64(n))
}

func (c *counters) closed(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reasons == nil {
		c.reasons = map[string]uint64{}
	}
	c.reasons[reason]++
}

func (c *counters) reject(cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rejected == nil {
		c.rejected = map[string]uint64{}
	}
	c.rejected[cause]++
}

// Stats returns a snapshot. It looks at every session, so call it as often as metrics are scraped, not per event.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		Sockets: map[string]int{},
		Opened:  c.opened.Load(), Upgrades: c.upgrades.Load(), UpgradeFailures: c.upgradeFailures.Load(),
		PollOverlaps: c.pollOverlaps.Load(), VolatileDrops: c.volatileDrops.Load(), PacketsIn: c.packetsIn.Load(), PacketsOut: c.packetsOut.Load(),
		AckTimeouts: c.ackTimeouts.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(), Writes: c.writes.Load(),
	}
	c.mu.Lock()
	st.Closed, st.Rejected = maps.Clone(c.reasons), maps.Clone(c.rejected)
	c.mu.Unlock()
	st.PacketsWritten = c.packetsWritten.Load()
	for i := range c.packetsPerWrite {
		st.PacketsPerWrite[i] = c.packetsPerWrite[i].Load()
	}
	for _, conn := range s.all() {
		conn.addTo(&st)
	}
	return st
}

func (c *conn) addTo(st *Stats) {
	c.mu.Lock()
	defer c.mu.Unlock()
	st.QueuedFrames += c.frames
	st.QueuedBytes += c.bytes
	if c.phase != phaseOpen {
		return
	}
	st.QueueDepth[depthOf(c.frames)]++
	if c.link != nil {
		st.WebSocket++
	} else {
		st.Polling++
	}
	for i := range c.spaces {
		if c.spaces[i].socket != nil {
			st.Sockets[c.spaces[i].name]++
		}
	}
}
