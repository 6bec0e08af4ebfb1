package app

import (
	"cmp"
	"context"
	"net"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/socketio"
)

// What this worker tells of itself; package httpapi has the words for it.

const (
	listedStreams = 50
	shownStreams  = 1000
	// toldRooms is how many rooms a worker tells the others of. What they add up is exact
	// as long as no worker has more.
	toldRooms = 2000
)

// workerReport is a worker's own part of the picture.
type workerReport struct {
	Worker  httpapi.RealtimeWorker
	Rooms   []realtime.RoomMembers
	Latency realtime.Histogram
}

// report looks at this worker. rooms are those with the most members, or the one named.
func (r *realtimeSide) report(ctx context.Context, room string) (workerReport, error) {
	hub, sockets, figures := r.hub.Status(), r.server.Stats(), r.hub.Figures()
	out := workerReport{Latency: figures.Latency, Worker: httpapi.RealtimeWorker{
		Worker: r.self.Name, Hostname: r.self.Hostname, PID: r.self.PID, Version: r.self.Version, StartedAt: r.self.StartedAt,
		Ready: hub.Ready, Reason: hub.Reason, Hub: httpapi.RealtimeHub(hub), Latency: latencyView(figures.Latency),
		Connections: httpapi.RealtimeTransports{WebSocket: sockets.WebSocket, Polling: sockets.Polling},
		Queued:      httpapi.RealtimeQueue{Frames: sockets.QueuedFrames, Bytes: sockets.QueuedBytes},
		Sockets:     socketsView(sockets),
	}}
	if r.foreign != nil {
		out.Worker.Foreign = r.foreign.status()
	}
	var err error
	if room == "" {
		out.Rooms, _, err = r.hub.FullestRooms(ctx, toldRooms)
		return out, err
	}
	members, err := r.hub.Members(ctx, room)
	if len(members) > 0 {
		out.Rooms = []realtime.RoomMembers{{Room: room, Members: len(members)}}
	}
	return out, err
}

func socketsView(s socketio.Stats) httpapi.RealtimeSockets {
	out := httpapi.RealtimeSockets{
		Opened: s.Opened, Closed: s.Closed, Rejected: s.Rejected, Upgrades: s.Upgrades, UpgradeFailures: s.UpgradeFailures,
		PollOverlaps: s.PollOverlaps, PacketsIn: s.PacketsIn, PacketsOut: s.PacketsOut, BytesIn: s.BytesIn, BytesOut: s.BytesOut,
		Writes: s.Writes, AckTimeouts: s.AckTimeouts, VolatileDrops: s.VolatileDrops,
	}
	if out.Closed == nil {
		out.Closed = map[string]uint64{}
	}
	if out.Rejected == nil {
		out.Rejected = map[string]uint64{}
	}
	return out
}

func latencyView(h realtime.Histogram) httpapi.RealtimeLatency {
	out := httpapi.RealtimeLatency{
		Bounds: h.Bounds, Counts: h.Counts, Count: h.Count(), Sum: h.Sum,
		P50: h.Quantile(.5), P90: h.Quantile(.9), P99: h.Quantile(.99),
	}
	if out.Bounds == nil { // nobody answered
		out.Bounds, out.Counts = []float64{}, []uint64{0}
	}
	return out
}

// oldest gives this worker's connections in the order of their age, after that of the
// query, and one more than its limit if there are.
func (r *realtimeSide) oldest(ctx context.Context, q httpapi.RealtimeQuery) ([]httpapi.RealtimeConnection, error) {
	var in map[*realtime.Session]bool
	if q.Room != "" {
		members, err := r.hub.Members(ctx, q.Room)
		if err != nil {
			return nil, err
		}
		in = make(map[*realtime.Session]bool, len(members))
		for _, m := range members {
			in[m] = true
		}
	}
	var found []*attached
	r.mu.Lock()
	for _, a := range r.attached {
		if (in == nil || in[a.session]) && (q.AfterSID == "" || compareAge(a.since.UnixNano(), a.socket.ID(), q.Since.UnixNano(), q.AfterSID) > 0) {
			found = append(found, a)
		}
	}
	r.mu.Unlock()
	slices.SortFunc(found, func(a, b *attached) int {
		return compareAge(a.since.UnixNano(), a.socket.ID(), b.since.UnixNano(), b.socket.ID())
	})
	return r.view(ctx, found[:min(len(found), q.Limit+1)], listedStreams)
}

func compareAge(at int64, sid string, otherAt int64, otherSID string) int {
	return cmp.Or(cmp.Compare(at, otherAt), cmp.Compare(sid, otherSID))
}

// own finds one of this worker's connections.
func (r *realtimeSide) own(sid string) (*attached, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.attached[sid]; a != nil {
		return a, nil
	}
	return nil, errs.E(errs.NotFound, "realtime.connection_not_found", "There is no connection with this sid; it may have ended.")
}

func (r *realtimeSide) view(ctx context.Context, list []*attached, streams int) ([]httpapi.RealtimeConnection, error) {
	views, err := r.hub.Describe(ctx, sessionsOf(list), streams)
	if err != nil {
		return nil, err
	}
	out := make([]httpapi.RealtimeConnection, len(list))
	for i, a := range list {
		v, req := views[i], a.socket.Request()
		r.mu.Lock()
		p := a.principal
		r.mu.Unlock()
		c := httpapi.RealtimeConnection{
			SID: a.socket.ID(), Worker: r.self.Name, Hostname: r.self.Hostname,
			User: httpapi.RealtimeUser{ID: p.UserID, Email: p.Email, Role: string(p.Role)}, Via: p.Via, CredentialID: p.CredentialID,
			Since: a.since, Transport: a.socket.Transport(), UserAgent: req.UserAgent(), Address: clientAddress(req.RemoteAddr),
			Rooms: v.Rooms, CatchingUp: v.CatchingUp, Requests: v.Requests, Streams: make([]httpapi.RealtimeStream, len(v.Streams)),
		}
		for k, s := range v.Streams {
			c.Streams[k] = httpapi.RealtimeStream{Stream: s.Stream, Cursor: s.Cursor}
		}
		c.Queue.Frames, c.Queue.Bytes = a.socket.Queued()
		out[i] = c
	}
	return out, nil
}

// clientAddress is where the connection comes from, as far as trusted proxies tell.
func clientAddress(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// end closes one of this worker's connections.
func (r *realtimeSide) end(sid string, reconnect bool) error {
	a, err := r.own(sid)
	if err != nil {
		return err
	}
	reason := realtime.ReasonDismissed
	if reconnect {
		reason = realtime.ReasonDisconnected
	}
	r.hub.End([]*realtime.Session{a.session}, reason)
	return nil
}
