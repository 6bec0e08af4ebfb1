package realtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
)

// Namespace is the Socket.IO namespace.
const Namespace = "/rt"

// Events from the client, all with an acknowledgement.
const (
	eventSubscribe   = "rt.subscribe"
	eventUnsubscribe = "rt.unsubscribe"
	eventHealth      = "rt.health"
)

// Events to the client besides those of the log.
const (
	eventConnected = "rt.connected"
	eventPosition  = "rt.position"
	eventResync    = "rt.resync"
	eventClosing   = "rt.closing"
	eventLeft      = "rt.left"
)

// Why a connection is closed, in rt.closing.
const (
	ReasonShutdown = "shutdown"
	ReasonSlow     = "slow_consumer"
	ReasonOverflow = "replay_overflow"
	ReasonRevoked  = "revoked"

	ReasonAccess       = "access_changed" // it is to be asked for again
	ReasonDisconnected = "disconnected"   // by an administrator, to come back
	ReasonDismissed    = "dismissed"      // likewise, to stay away
)

// Limits on what a request may carry.
const (
	maxAskedRooms = 500
	maxAfter      = 200
	maxEcho       = 4 << 10
	maxStream     = 300
)

type connected struct {
	OK         bool       `json:"ok"`
	Namespace  string     `json:"namespace"`
	SID        string     `json:"sid"`
	ServerTime event.Time `json:"server_time"`
	Transport  string     `json:"transport"`
}

type subscribed struct {
	OK         bool       `json:"ok"`
	Rooms      []string   `json:"rooms"`
	Denied     []denial   `json:"denied"`
	Position   string     `json:"position"`
	Resync     []string   `json:"resync"`
	Namespace  string     `json:"namespace"`
	ServerTime event.Time `json:"server_time"`
}

type unsubscribed struct {
	OK         bool       `json:"ok"`
	Rooms      []string   `json:"rooms"`
	Namespace  string     `json:"namespace"`
	ServerTime event.Time `json:"server_time"`
}

type healthy struct {
	OK         bool            `json:"ok"`
	ServerTime event.Time      `json:"server_time"`
	Metrics    Status          `json:"metrics"`
	Echo       json.RawMessage `json:"echo"`
}

type failed struct {
	OK    bool      `json:"ok"`
	Error wireError `json:"error"`
}

type wireError struct {
	Code    errs.Code `json:"code"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
}

type positioned struct {
	Position string `json:"position"`
}

type resync struct {
	Rooms    []string `json:"rooms"`
	Position string   `json:"position"`
	Reason   string   `json:"reason"`
}

type closing struct {
	Reason    string `json:"reason"`
	Reconnect bool   `json:"reconnect"`
}

func failure(err error) failed {
	e := errs.As(err)
	return failed{Error: wireError{Code: e.Code, Reason: e.Reason, Message: e.Message}}
}

// subscription is a checked rt.subscribe.
type subscription struct {
	rooms    []string
	position event.Snapshot // zero: none
	after    map[string]int64
}

func badRequest(reason, format string, args ...any) error {
	return errs.Ef(errs.Invalid, reason, format, args...)
}

// object decodes the first argument, which must be an object.
func object(args []json.RawMessage, into any) error {
	if len(args) == 0 || !bytes.HasPrefix(bytes.TrimSpace(args[0]), []byte("{")) {
		return badRequest("rt.bad_request", "The first argument must be an object.")
	}
	if err := json.Unmarshal(args[0], into); err != nil {
		return errs.Ef(errs.Invalid, "rt.bad_request", "The first argument has a field of a wrong type.").With(err)
	}
	return nil
}

func parseRooms(raw []string) ([]string, error) {
	if len(raw) == 0 {
		return nil, badRequest("rt.rooms_missing", "Name at least one room in `rooms`.")
	}
	if len(raw) > maxAskedRooms {
		return nil, badRequest("rt.too_many_rooms", "A request may name at most %d rooms.", maxAskedRooms)
	}
	return unique(raw), nil
}

func parseSubscription(args []json.RawMessage) (subscription, error) {
	var in struct {
		Rooms    []string           `json:"rooms"`
		Position *string            `json:"position"`
		After    map[string]float64 `json:"after"`
	}
	var s subscription
	if err := object(args, &in); err != nil {
		return s, err
	}
	var err error
	if s.rooms, err = parseRooms(in.Rooms); err != nil {
		return s, err
	}
	if in.Position != nil && *in.Position != "" {
		if s.position, err = parsePosition(*in.Position); err != nil {
			return s, errs.E(errs.Invalid, "rt.bad_position", "`position` must be one that an earlier answer gave.").With(err)
		}
	}
	if len(in.After) > maxAfter {
		return s, badRequest("rt.bad_after", "`after` may name at most %d streams.", maxAfter)
	}
	s.after = make(map[string]int64, len(in.After))
	for stream, n := range in.After {
		if !streamName(stream) || n < 0 || n != math.Trunc(n) || n >= 1<<53 {
			return s, badRequest("rt.bad_after", "`after` must give a whole number that is not negative for each stream.")
		}
		s.after[stream] = int64(n)
	}
	return s, nil
}

// streamName keeps out what the database would refuse.
func streamName(s string) bool {
	return s != "" && len(s) <= maxStream && !strings.ContainsFunc(s, unicode.IsControl)
}

// parsePosition also refuses what the log takes and Postgres would not.
func parsePosition(text string) (event.Snapshot, error) {
	s, err := event.ParseSnapshot(text)
	if err != nil {
		return s, err
	}
	xmin, xmax, running := bounds(s)
	if xmin == 0 {
		return s, errors.New("position has no beginning")
	}
	for _, x := range running {
		if x < xmin || x >= xmax {
			return s, errors.New("position is not consistent")
		}
	}
	return s, nil
}

// bounds takes a snapshot's text apart.
func bounds(s event.Snapshot) (xmin, xmax uint64, running []uint64) {
	parts := strings.Split(s.String(), ":")
	xmin, xmax = number(parts[0]), number(parts[1])
	if parts[2] != "" {
		for one := range strings.SplitSeq(parts[2], ",") {
			running = append(running, number(one))
		}
	}
	return xmin, xmax, running
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // it comes from a number
	return n
}

// encodeEnvelope gives an event as clients get it.
func (h *Hub) encodeEnvelope(e *event.Stored) (Frame, int, error) {
	envelope := e.Envelope
	if envelope.RoomKeys == nil {
		envelope.RoomKeys = []string{}
	}
	raw, err := json.Marshal(envelope)
	if err != nil {
		return nil, 0, fmt.Errorf("encode event %d of %s: %w", envelope.Sequence, envelope.SequenceStream, err)
	}
	frame, err := h.o.Encode(envelope.EventType, raw)
	if err != nil {
		return nil, 0, fmt.Errorf("encode event %d of %s: %w", envelope.Sequence, envelope.SequenceStream, err)
	}
	return frame, len(raw), nil
}

// encode gives one of our own events.
func (h *Hub) encode(name string, arg any) (Frame, error) {
	raw, err := json.Marshal(arg)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	frame, err := h.o.Encode(name, raw)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return frame, nil
}

func (h *Hub) time() event.Time { return event.Time{Time: h.o.Now()} }
