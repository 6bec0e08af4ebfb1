package event

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// ContractVersion is the version of the envelope.
const ContractVersion = "v1"

// timeFormat is RFC 3339 in UTC with microseconds, what Postgres keeps.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// Time marshals as RFC 3339 UTC with exactly six decimals.
type Time struct{ time.Time }

// MarshalJSON renders the fixed form.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeFormat) + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(raw []byte) error { return t.Time.UnmarshalJSON(raw) }

// Envelope is one event as every reader gets it: the only argument of the
// Socket.IO event, an item of GET /api/events.
type Envelope struct {
	ContractVersion string          `json:"contract_version"`
	EventID         uuid.UUID       `json:"event_id"`
	IdempotencyKey  uuid.UUID       `json:"idempotency_key"` // the same as EventID
	Sequence        int64           `json:"sequence"`
	SequenceStream  string          `json:"sequence_stream"`
	EmittedAt       Time            `json:"emitted_at"`
	EventType       string          `json:"event_type"`
	EntityKind      string          `json:"entity_kind"`
	EntityID        string          `json:"entity_id"`
	RoomKeys        []string        `json:"room_keys"`
	RequestID       string          `json:"request_id"`
	CorrelationID   string          `json:"correlation_id"`
	Runtime         json.RawMessage `json:"runtime"`
	Payload         json.RawMessage `json:"payload"`
}

// Stored is an envelope with the transaction that wrote it, which tells against
// any snapshot whether it was visible there.
type Stored struct {
	Envelope Envelope `json:"envelope"`
	XID      uint64   `json:"xid"`
}

// Draft is an event that is to be appended; the log adds number, id and time.
type Draft struct {
	Stream        string
	Type          string
	EntityKind    string
	EntityID      string
	Rooms         []string
	RequestID     string
	CorrelationID string
	Runtime       any // marshalled; nil becomes null
	Payload       any // marshalled
}
