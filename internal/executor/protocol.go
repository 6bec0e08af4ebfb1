package executor

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// Version is the protocol version of payloads and events.
const Version = "v1"

// What crosses a process border in one piece: a payload, an event, and the result,
// which carries the output and the artifacts.
const (
	MaxPayload = 64 << 20
	MaxLine    = 8 << 20
	MaxResult  = 64 << 20
)

// Payload is everything one attempt needs. Templates in Config are rendered.
type Payload struct {
	ContractVersion string            `json:"contract_version"`
	NodeRunID       int64             `json:"node_run_id"`
	Attempt         int               `json:"attempt"`
	Kind            string            `json:"kind"`
	Config          json.RawMessage   `json:"config"`
	InputContext    json.RawMessage   `json:"input_context,omitempty"`
	Model           *Model            `json:"model,omitempty"`
	Secrets         map[string]string `json:"secrets,omitempty"`
	Limits          Limits            `json:"limits"`
	Traceparent     string            `json:"traceparent,omitempty"` // W3C; what the spans of the attempt hang under
}

// Model tells a node which model to ask and where it is.
type Model struct {
	ID           int64           `json:"id"`
	Name         string          `json:"name"`
	ProviderKind string          `json:"provider_kind"`
	ProviderName string          `json:"provider_name"`
	BaseURL      string          `json:"base_url,omitempty"`
	Model        string          `json:"model"`
	Config       json.RawMessage `json:"config,omitempty"`
}

// Limits bound an attempt. Zero means the executor's default.
type Limits struct {
	TimeoutSeconds float64 `json:"timeout_seconds,omitempty"`
	GraceSeconds   float64 `json:"grace_seconds,omitempty"`
	// HTTPAllow are the hosts, addresses and networks that http nodes may reach although
	// private. Only an executor with a payload of its own goes by it; others know already.
	HTTPAllow []string `json:"http_allow,omitempty"`
}

// LogValue keeps configuration, inputs and secrets out of logs.
func (p Payload) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("node_run_id", p.NodeRunID), slog.Int("attempt", p.Attempt), slog.String("kind", p.Kind))
}

// String is LogValue for fmt, so that a payload printed by mistake leaks nothing.
func (p Payload) String() string {
	return fmt.Sprintf("payload of node run %d, attempt %d, kind %s", p.NodeRunID, p.Attempt, p.Kind)
}

// GoString is String, for the %#v verb.
func (p Payload) GoString() string { return p.String() }

// Validate checks what every executor relies on; errs.Invalid if it does not hold.
func (p Payload) Validate() error {
	switch {
	case p.ContractVersion != Version:
		return errs.Ef(errs.Invalid, "executor.contract_version", "The payload has contract version %q; this executor speaks %q.", p.ContractVersion, Version)
	case p.NodeRunID <= 0 || p.Attempt <= 0:
		return errs.E(errs.Invalid, "executor.payload", "The payload names no node run and attempt.")
	case p.Kind == "":
		return errs.E(errs.Invalid, "executor.payload", "The payload names no kind of node.")
	case p.Limits.TimeoutSeconds < 0 || p.Limits.GraceSeconds < 0:
		return errs.E(errs.Invalid, "executor.payload", "The limits of the payload are negative.")
	}
	return nil
}

// ReadPayload decodes and validates one payload of at most MaxPayload bytes.
func ReadPayload(r io.Reader) (Payload, error) {
	var p Payload
	lim := &io.LimitedReader{R: r, N: MaxPayload + 1}
	if err := json.NewDecoder(lim).Decode(&p); err != nil {
		if lim.N <= 0 {
			return Payload{}, errs.Ef(errs.TooLarge, "executor.payload", "The payload is larger than %d MiB.", MaxPayload>>20)
		}
		return Payload{}, errs.E(errs.Invalid, "executor.payload", "The payload is not the JSON object that was expected.").With(err)
	}
	return p, p.Validate()
}

// EventType is the kind of an event.
type EventType string

// The event types. EventResult appears on the wire only.
const (
	EventStarted EventType = "started"
	EventStage   EventType = "stage"
	EventLog     EventType = "log"
	EventTool    EventType = "tool"
	EventUsage   EventType = "usage"
	EventDelta   EventType = "delta"
	EventSpan    EventType = "span" // something for the trace; not stored
	EventResult  EventType = "result"
)

// Event is something that happened during an attempt. Which of the optional
// fields are set follows from Type.
type Event struct {
	V    string    `json:"v"`
	N    int64     `json:"n"`
	TS   time.Time `json:"ts"`
	Type EventType `json:"type"`

	Stage  string          `json:"stage,omitempty"`  // stage; log, if it belongs to one
	Status string          `json:"status,omitempty"` // stage: started, finished, failed
	Stream string          `json:"stream,omitempty"` // log: stdout, stderr, system
	Text   string          `json:"text,omitempty"`   // log, delta
	Tool   *ToolEvent      `json:"tool,omitempty"`   // tool
	Usage  *Usage          `json:"usage,omitempty"`  // usage
	Span   json.RawMessage `json:"span,omitempty"`   // span
	Result *Result         `json:"result,omitempty"` // result, on the wire only
}

// ToolEvent is one step of a tool call made by a model.
type ToolEvent struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Status    string          `json:"status"` // pending, waiting, approved, running, succeeded, failed, denied, unknown, cancelled
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Result    string          `json:"result,omitempty"`
}

// Usage counts what an attempt consumed.
type Usage struct {
	InputTokens  int64 `json:"input_tokens"`
	OutputTokens int64 `json:"output_tokens"`
	CachedTokens int64 `json:"cached_tokens,omitempty"`
}

// Status is how an attempt ended.
type Status string

// The statuses of a result.
const (
	Succeeded Status = "succeeded"
	Degraded  Status = "degraded"
	Failed    Status = "failed"
	Cancelled Status = "cancelled"
	TimedOut  Status = "timeout"
	// Suspended: the node waits for a person, and another attempt goes on then. Only
	// attempts inside a worker can end so.
	Suspended Status = "suspended"
)

// Result is the one outcome of an attempt.
type Result struct {
	Status       Status          `json:"status"`
	OutputState  json.RawMessage `json:"output_state,omitempty"`
	RoutingState json.RawMessage `json:"routing_state,omitempty"`
	Error        *ResultError    `json:"error,omitempty"`
	Usage        *Usage          `json:"usage,omitempty"`
	Artifacts    []Artifact      `json:"artifacts,omitempty"`

	// Settled says that the end of the attempt has been stored, or will be, by somebody
	// else; see Remote.
	Settled bool `json:"-"`
}

// ResultError says why an attempt did not succeed. Message is for users.
type ResultError struct {
	Code      string         `json:"code"`
	Message   string         `json:"message"`
	Retryable bool           `json:"retryable"`
	Details   map[string]any `json:"details,omitempty"`
}

// Error makes a ResultError usable as an error.
func (e *ResultError) Error() string { return e.Code + ": " + e.Message }

// Artifact is a named output kept beside the output state.
type Artifact struct {
	Name      string `json:"name"`           // a relative path with slashes
	Kind      string `json:"kind,omitempty"` // empty: a file
	MediaType string `json:"media_type,omitempty"`
	Data      []byte `json:"data,omitempty"`
	// Of one that was sent ahead: SHA-256 of the content in hexadecimal, and its length.
	// Data is empty then.
	SHA256 string `json:"sha256,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// length is the length of the content, wherever it is.
func (a Artifact) length() int64 {
	if a.SHA256 != "" {
		return a.Size
	}
	return int64(len(a.Data))
}

// Codes of errors that the executors themselves report. Handlers add their own.
const (
	CodeInfra     = "infra"     // the attempt vanished without a result; retryable
	CodePanic     = "panic"     // the handler panicked: a defect of this program
	CodeTimeout   = "timeout"   // the attempt's deadline passed
	CodeCancelled = "cancelled" // someone cancelled the attempt
	CodeConfig    = "invalid_config"
	CodeTooLarge  = "too_large"
	CodeKind      = "unsupported_kind"
)
