package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
)

// Realtime tells how the realtime side of all web workers is doing. Those that do not
// answer within a second are told of as mute.
type Realtime interface {
	// Status lists up to rooms of the fullest rooms, or the one that is named.
	Status(ctx context.Context, rooms int, room string) RealtimeStatus
	// Connections lists connections, oldest first; one more than the limit says that
	// there are more.
	Connections(ctx context.Context, q RealtimeQuery) ([]RealtimeConnection, []RealtimeMute, error)
	// Connection gives one. Errors: not_found.
	Connection(ctx context.Context, sid string) (RealtimeConnection, error)
	// Disconnect ends one. Errors: not_found.
	Disconnect(ctx context.Context, sid string, reconnect bool) error
}

// RealtimeQuery selects connections.
type RealtimeQuery struct {
	Room     string // empty: all
	Since    time.Time
	AfterSID string // with Since: the last one of the page before; empty: the first page
	Limit    int
}

// RealtimeMute is a worker that did not answer.
type RealtimeMute struct {
	Worker   string `json:"worker"`
	Hostname string `json:"hostname"`
	Reason   string `json:"reason"`
}

// RealtimeTransports counts open sessions.
type RealtimeTransports struct {
	WebSocket int `json:"websocket"`
	Polling   int `json:"polling"`
}

// RealtimeQueue is what waits to be sent.
type RealtimeQueue struct {
	Frames int `json:"frames"`
	Bytes  int `json:"bytes"`
}

// RealtimeHub is what a worker's hub counts.
type RealtimeHub realtime.Status

// RealtimeSockets is what a worker's sockets count, since its start.
type RealtimeSockets struct {
	Opened          uint64            `json:"opened"`
	Closed          map[string]uint64 `json:"closed" doc:"By reason"`
	Rejected        map[string]uint64 `json:"rejected" doc:"By cause"`
	Upgrades        uint64            `json:"upgrades"`
	UpgradeFailures uint64            `json:"upgrade_failures"`
	PollOverlaps    uint64            `json:"poll_overlaps"`
	PacketsIn       uint64            `json:"packets_in"`
	PacketsOut      uint64            `json:"packets_out"`
	BytesIn         uint64            `json:"bytes_in"`
	BytesOut        uint64            `json:"bytes_out"`
	Writes          uint64            `json:"writes"`
	AckTimeouts     uint64            `json:"ack_timeouts"`
	VolatileDrops   uint64            `json:"volatile_drops"`
}

// RealtimeLatency is the time from an event's emitted_at to its hand-over to a socket.
type RealtimeLatency struct {
	Bounds []float64 `json:"bounds_ms" doc:"Upper bounds of the buckets"`
	Counts []uint64  `json:"counts" doc:"One more than bounds_ms: the last counts what exceeds all"`
	Count  uint64    `json:"count"`
	Sum    float64   `json:"sum_ms"`
	P50    float64   `json:"p50_ms"`
	P90    float64   `json:"p90_ms"`
	P99    float64   `json:"p99_ms"`
}

// RealtimeWorker is a web worker; of a mute one only its name is known.
type RealtimeWorker struct {
	Worker      string             `json:"worker" doc:"Begins the ids of its Engine.IO sessions"`
	Hostname    string             `json:"hostname"`
	PID         int                `json:"pid"`
	Version     string             `json:"version"`
	StartedAt   time.Time          `json:"started_at"`
	AnsweredBy  bool               `json:"answered_by" doc:"This worker answered the request"`
	Mute        string             `json:"mute" doc:"Not empty: the worker did not answer, and why"`
	Ready       bool               `json:"ready"`
	Reason      string             `json:"reason" doc:"Why it is not ready"`
	Connections RealtimeTransports `json:"connections"`
	Queued      RealtimeQueue      `json:"queued"`
	Hub         RealtimeHub        `json:"hub"`
	Sockets     RealtimeSockets    `json:"sockets"`
	Latency     RealtimeLatency    `json:"latency"`
	Foreign     any                `json:"foreign" doc:"Exchange with Socket.IO servers that are not ours; null: there is none"`
}

// RealtimeTotals adds the workers up.
type RealtimeTotals struct {
	Connections RealtimeTransports `json:"connections"`
	Queued      RealtimeQueue      `json:"queued"`
	Delivered   int64              `json:"delivered" doc:"Events times receivers"`
	Gaps        int64              `json:"gaps"`
	Replays     int64              `json:"replays"`
	Replayed    int64              `json:"replayed"`
	Resyncs     int64              `json:"resyncs"`
	FromLog     int64              `json:"from_log"`
	SlowCloses  int64              `json:"slow_closes"`
	Overflows   int64              `json:"overflows"`
	Latency     RealtimeLatency    `json:"latency"`
}

// RealtimeRoom is a room over all workers.
type RealtimeRoom struct {
	Room    string `json:"room"`
	Members int    `json:"members"`
	Workers int    `json:"workers"`
}

// RealtimeStatus is the whole picture.
type RealtimeStatus struct {
	At      time.Time        `json:"at"`
	Ready   bool             `json:"ready" doc:"All workers that answered are ready, and none is mute"`
	Workers []RealtimeWorker `json:"workers"`
	Totals  RealtimeTotals   `json:"totals"`
	Rooms   []RealtimeRoom   `json:"rooms" doc:"Fullest first"`
}

// RealtimeUser is whose connection it is.
type RealtimeUser struct {
	ID    int64  `json:"id"`
	Email string `json:"email"`
	Role  string `json:"role" enum:"admin,editor,viewer"`
}

// RealtimeStream is up to where a connection has been served a stream.
type RealtimeStream struct {
	Stream string `json:"stream"`
	Cursor int64  `json:"cursor"`
}

// RealtimeConnection is a client's socket.
type RealtimeConnection struct {
	SID          string           `json:"sid" doc:"As in rt.connected"`
	Worker       string           `json:"worker"`
	Hostname     string           `json:"hostname"`
	User         RealtimeUser     `json:"user"`
	Via          string           `json:"via" enum:"session,api_key"`
	CredentialID int64            `json:"credential_id" doc:"The API key's or the browser session's"`
	Since        time.Time        `json:"since"`
	Transport    string           `json:"transport" enum:"websocket,polling"`
	Address      string           `json:"address" doc:"Where the client is, as far as the proxies tell"`
	UserAgent    string           `json:"user_agent"`
	Rooms        []string         `json:"rooms"`
	CatchingUp   bool             `json:"catching_up" doc:"Live events wait for a replay to end"`
	Streams      []RealtimeStream `json:"streams" doc:"Active streams of its rooms, the latest first; a list has at most 50 each"`
	Queue        RealtimeQueue    `json:"queue"`
	Requests     int              `json:"requests" doc:"Requests of the client that wait for their turn"`
}

type statusInput struct {
	Rooms int    `query:"rooms" minimum:"0" maximum:"200" default:"20" doc:"How many of the fullest rooms to list"`
	Room  string `query:"room" maxLength:"200" doc:"Count this room only"`
}

type realtimeStatusOutput struct{ Body RealtimeStatus }

type listConnectionsInput struct {
	PageInput
	Room string `query:"room" maxLength:"200" doc:"Only those in this room"`
}

type connectionsOutput struct {
	Body struct {
		Items      []RealtimeConnection `json:"items"`
		NextCursor *string              `json:"next_cursor"`
		Mute       []RealtimeMute       `json:"mute" doc:"Workers whose connections are missing"`
	}
}

type connectionInput struct {
	SID string `path:"sid" maxLength:"64"`
}

type connectionOutput struct{ Body RealtimeConnection }

type disconnectInput struct {
	SID  string `path:"sid" maxLength:"64"`
	Body *struct {
		Reconnect *bool `json:"reconnect,omitempty" doc:"true, the default: the client comes back by itself; false: it stays away until its program connects again"`
	} `required:"false"`
}

func (s *server) registerRealtime() {
	handle(s, route{
		method: http.MethodGet, path: "/realtime/status", id: "get-realtime-status", tag: "operations", permission: auth.Read,
		summary: "How the realtime side of all web workers is doing",
	}, func(ctx context.Context, in *statusInput) (*realtimeStatusOutput, error) {
		if err := s.needsRealtime(); err != nil {
			return nil, err
		}
		return &realtimeStatusOutput{Body: s.deps.Realtime.Status(ctx, in.Rooms, in.Room)}, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/realtime/connections", id: "list-realtime-connections", tag: "operations", permission: auth.Manage,
		summary: "Connections of clients to all web workers, oldest first",
	}, s.listConnections)
	handle(s, route{
		method: http.MethodGet, path: "/realtime/connections/{sid}", id: "get-realtime-connection", tag: "operations", permission: auth.Manage,
		summary: "A client's connection",
	}, func(ctx context.Context, in *connectionInput) (*connectionOutput, error) {
		if err := s.needsRealtime(); err != nil {
			return nil, err
		}
		c, err := s.deps.Realtime.Connection(ctx, in.SID)
		return &connectionOutput{Body: c}, err
	})
	handle(s, route{
		method: http.MethodPost, path: "/realtime/connections/{sid}/disconnect", id: "disconnect-realtime-connection", tag: "operations",
		permission: auth.Manage, audit: true, summary: "End a client's connection", status: http.StatusNoContent,
	}, s.disconnect)
}

func (s *server) needsRealtime() error {
	if s.deps.Realtime == nil {
		return errs.E(errs.Unavailable, "realtime.off", "This process serves no sockets.")
	}
	return nil
}

func (s *server) listConnections(ctx context.Context, in *listConnectionsInput) (*connectionsOutput, error) {
	if err := s.needsRealtime(); err != nil {
		return nil, err
	}
	q := RealtimeQuery{Room: in.Room, Limit: int(in.Limit)}
	var err error
	if q.Since, q.AfterSID, err = parseConnectionCursor(in.Cursor); err != nil {
		return nil, err
	}
	items, mute, err := s.deps.Realtime.Connections(ctx, q)
	if err != nil {
		return nil, err
	}
	out := &connectionsOutput{}
	out.Body.Mute = mute
	if len(items) > q.Limit {
		items = items[:q.Limit]
		cursor := connectionCursor(items[q.Limit-1])
		out.Body.NextCursor = &cursor
	}
	out.Body.Items = items
	return out, nil
}

// connectionCursor names the place of a connection in the order of their age.
func connectionCursor(c RealtimeConnection) string {
	return "c" + base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Since.UnixNano(), 36)+" "+c.SID))
}

func parseConnectionCursor(cursor string) (since time.Time, sid string, err error) {
	if cursor == "" {
		return since, "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(cursor, "c"))
	at, sid, found := strings.Cut(string(raw), " ")
	nanos, faulty := strconv.ParseInt(at, 36, 64)
	if err != nil || faulty != nil || !found || sid == "" || !strings.HasPrefix(cursor, "c") {
		return since, "", errs.E(errs.Invalid, "request.invalid_cursor", "The cursor is not one that a list gave.",
			errs.Detail{Location: "query.cursor", Message: "use next_cursor of the page before"})
	}
	return time.Unix(0, nanos), sid, nil
}

// disconnect is noted before it is done, and not noted when it is not.
func (s *server) disconnect(ctx context.Context, in *disconnectInput) (*struct{}, error) {
	if err := s.needsRealtime(); err != nil {
		return nil, err
	}
	reconnect := in.Body == nil || in.Body.Reconnect == nil || *in.Body.Reconnect
	c, err := s.deps.Realtime.Connection(ctx, in.SID)
	if err != nil {
		return nil, err
	}
	return nil, s.deps.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		err := auth.Audit(ctx, tx, auth.AuditEntry{
			UserID: user(ctx).UserID, Action: "realtime.connection_disconnected", EntityKind: "connection", EntityID: in.SID,
			Detail: map[string]any{"worker": c.Worker, "user_id": c.User.ID, "address": c.Address, "reconnect": reconnect},
		})
		if err != nil {
			return err
		}
		return s.deps.Realtime.Disconnect(ctx, in.SID, reconnect)
	})
}
