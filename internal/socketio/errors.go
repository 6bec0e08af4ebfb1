package socketio

import "errors"

// What sending on a socket answers with.
var (
	// ErrClosed means that the socket or its session has ended.
	ErrClosed = errors.New("socketio: closed")
	// ErrSlow means that the peer does not take what is sent to it; its session has been cut off.
	ErrSlow = errors.New("socketio: slow consumer")
	// ErrTooLarge means that a message is larger than a queue; nothing was sent and the session lives on.
	ErrTooLarge = errors.New("socketio: message too large")
	// ErrTooManyCalls means that [Options.MaxPendingCalls] acknowledgements are outstanding.
	ErrTooManyCalls = errors.New("socketio: too many pending calls")
)

// ErrServerClosed is the answer to [Server.Shutdown] after the first one.
var ErrServerClosed = errors.New("socketio: server closed")

// Why a socket was disconnected, as [Handler.Disconnect] is told.
const (
	ReasonClientDisconnect = "client namespace disconnect"
	ReasonServerDisconnect = "server namespace disconnect"
	ReasonTransportClose   = "transport close"
	ReasonTransportError   = "transport error"
	ReasonPingTimeout      = "ping timeout"
	ReasonConnectTimeout   = "connect timeout"
	ReasonParseError       = "parse error"
	ReasonTooLarge         = "payload too large"
	ReasonSlowConsumer     = "slow consumer"
	ReasonFlood            = "flood"
	ReasonShutdown         = "server shutting down"
	ReasonHandlerPanic     = "handler panic"
)

// ConnectError refuses a connection to a namespace with words meant for the client: the client's connect_error has
// this message, and this data as its data.
type ConnectError struct {
	Message string
	Data    any
}

// Error returns the message.
func (e *ConnectError) Error() string { return e.Message }

// Faults of a peer, all of which end its session.
var (
	errMalformed    = errors.New("malformed packet")
	errNotUTF8      = errors.New("text is not valid UTF-8")
	errPayloadLimit = errors.New("payload exceeds the limit")
	errNoNamespace  = errors.New("packet for a namespace that was never connected")
	errReconnect    = errors.New("namespace is connected already")
	errPeerClosed   = errors.New("peer sent a close frame")
)
