package socketio

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// The two transports, as they are called on the wire.
const (
	TransportPolling   = "polling"
	TransportWebSocket = "websocket"
)

// Options configures a [Server]. The zero value of every field stands for the default named with it.
type Options struct {
	// PingInterval is the time between two heartbeats of the server. Default 25 s.
	PingInterval time.Duration
	// PingTimeout is how long a heartbeat may stay unanswered. Default 20 s.
	PingTimeout time.Duration
	// KeepSilent leaves WebSocket sessions open although a heartbeat was not answered. A polling session that falls
	// silent is closed in any case, since nothing else would ever end it.
	KeepSilent bool
	// ConnectTimeout is how long a session may be without any namespace, and the time limit of one
	// [Handler.Authorize]. Default 45 s.
	ConnectTimeout time.Duration
	// UpgradeTimeout bounds the change from polling to WebSocket. Default 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout bounds each write to a peer. Default 10 s.
	WriteTimeout time.Duration

	// Transports is what clients may use. Default both.
	Transports []string
	// AllowOrigin decides on a request that carries an Origin header, for polling and for WebSocket alike. The
	// default accepts [SameOrigin]; see also [AllowOrigins].
	AllowOrigin func(r *http.Request, origin string) bool
	// AllowCredentials tells browsers to send cookies with polling requests from other allowed origins.
	AllowCredentials bool

	// MaxPayload is the largest request body, WebSocket message and polling answer, in bytes. Default 1 000 000.
	MaxPayload int
	// MaxAttachments is the largest number of binary attachments of one packet. Default 16.
	MaxAttachments int
	// MaxNamespaces is how many namespaces one session may be connected to. Default 16.
	MaxNamespaces int
	// MaxPendingCalls is how many acknowledgements of one socket may be outstanding, see [Socket.Call]. Default 256.
	MaxPendingCalls int
	// MaxConnections is how many sessions may be open. Default 10 000.
	MaxConnections int
	// MaxRooms is how many rooms one socket may be in, see [Socket.Join]. Default 1000.
	MaxRooms int
	// QueueBytes and QueueFrames bound what waits to be sent on one session. Default 1 MiB and 1024.
	QueueBytes, QueueFrames int
	// InboxBytes and InboxEvents bound what one socket has received and its handler has not yet taken. Default 4 MiB
	// and 1024.
	InboxBytes, InboxEvents int

	// PacketRate is how many packets a session may send each second, counted over ten seconds. Default 2000.
	PacketRate int

	// SessionPrefix begins the id of every session, so that servers which share an address can tell whose one is. It
	// must be of letters, digits and dots.
	SessionPrefix string
	// Forward is offered the requests of sessions that are unknown here, after the origin was checked. It answers and
	// returns true, or returns false: then the client is told that the session is unknown, and makes a new one.
	Forward func(w http.ResponseWriter, r *http.Request, sid string) bool

	// Logger gets what goes wrong (default: discarded). EngineLogger and PacketLogger, when set, get every Engine.IO
	// and Socket.IO packet, without its content.
	Logger, EngineLogger, PacketLogger *slog.Logger
}

var sessionPrefix = regexp.MustCompile(`^[A-Za-z0-9.]{0,64}$`)

// withDefaults returns o with every unset field filled in, or says what is wrong with it.
func (o Options) withDefaults() (Options, error) {
	for _, d := range []struct {
		value *time.Duration
		name  string
		def   time.Duration
	}{
		{&o.PingInterval, "PingInterval", 25 * time.Second},
		{&o.PingTimeout, "PingTimeout", 20 * time.Second},
		{&o.ConnectTimeout, "ConnectTimeout", 45 * time.Second},
		{&o.UpgradeTimeout, "UpgradeTimeout", 10 * time.Second},
		{&o.WriteTimeout, "WriteTimeout", 10 * time.Second},
	} {
		if err := fill(d.value, d.name, d.def); err != nil {
			return o, err
		}
	}
	for _, d := range []struct {
		value *int
		name  string
		def   int
	}{
		{&o.MaxPayload, "MaxPayload", 1_000_000},
		{&o.MaxAttachments, "MaxAttachments", 16},
		{&o.MaxNamespaces, "MaxNamespaces", 16},
		{&o.MaxPendingCalls, "MaxPendingCalls", 256},
		{&o.MaxConnections, "MaxConnections", 10_000},
		{&o.MaxRooms, "MaxRooms", 1000},
		{&o.QueueBytes, "QueueBytes", 1 << 20},
		{&o.QueueFrames, "QueueFrames", 1024},
		{&o.InboxBytes, "InboxBytes", 4 << 20},
		{&o.InboxEvents, "InboxEvents", 1024},
		{&o.PacketRate, "PacketRate", 2000},
	} {
		if err := fill(d.value, d.name, d.def); err != nil {
			return o, err
		}
	}
	if len(o.Transports) == 0 {
		o.Transports = []string{TransportPolling, TransportWebSocket}
	}
	for _, t := range o.Transports {
		if t != TransportPolling && t != TransportWebSocket {
			return o, fmt.Errorf("socketio: unknown transport %q", t)
		}
	}
	o.Transports = slices.Clone(o.Transports)
	if !sessionPrefix.MatchString(o.SessionPrefix) {
		return o, fmt.Errorf("socketio: SessionPrefix %q is not of letters, digits and dots", o.SessionPrefix)
	}
	if o.AllowOrigin == nil {
		o.AllowOrigin = SameOrigin
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func fill[T ~int | ~int64](value *T, name string, def T) error {
	if *value < 0 {
		return fmt.Errorf("socketio: %s is negative", name)
	}
	if *value == 0 {
		*value = def
	}
	return nil
}
