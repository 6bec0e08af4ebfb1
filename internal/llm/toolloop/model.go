package toolloop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/llm"
)

// How many answers of a model may ask for tools, and how many calls one answer may
// ask for.
const (
	DefaultCycles   = 24
	MaxCycles       = 64
	MaxCalls        = 32 // in one answer
	DefaultParallel = 4
)

// MaxContent is how much of a result a model is told, in bytes. All of it is kept.
const MaxContent = 128 << 10

// Ref says which tool of which server is meant. A built-in tool has no server.
type Ref struct {
	ServerID int64
	Server   string
	Tool     string
}

// Tool is a tool as a model sees it, and what is known of it.
type Tool struct {
	llm.Tool
	Ref           Ref
	Repeatable    bool // only reads, or calling it again does no more harm
	NeedsApproval bool
	Timeout       time.Duration
}

// Toolset is what a model may use.
type Toolset interface {
	// Tools lists the tools that are on offer now. It is asked before each answer.
	Tools(ctx context.Context) ([]Tool, error)
	// Call calls one. Its arguments satisfy the tool's schema. tell, which may be
	// called until Call returns, takes what is to be told of progress.
	Call(ctx context.Context, t Tool, arguments json.RawMessage, tell func(string)) Outcome
}

// Outcome is what became of a call.
type Outcome struct {
	Content string
	IsError bool
	Code    string // of an error: a word, such as timeout
	// Unknown: nobody knows whether the tool did what it was asked.
	Unknown bool
}

// Status is the state of a call.
type Status string

// The states of a call. Denied, unknown and cancelled are told to the model as
// errors, like failed.
const (
	Pending   Status = "pending"
	Waiting   Status = "waiting" // for a person
	Approved  Status = "approved"
	Running   Status = "running"
	Succeeded Status = "succeeded"
	Failed    Status = "failed"
	Denied    Status = "denied"
	Unknown   Status = "unknown"
	Cancelled Status = "cancelled"
)

// Statuses lists them.
func Statuses() []Status {
	return []Status{Pending, Waiting, Approved, Running, Succeeded, Failed, Denied, Unknown, Cancelled}
}

// Final reports whether nothing follows.
func (s Status) Final() bool {
	return s == Succeeded || s == Failed || s == Denied || s == Unknown || s == Cancelled
}

// The words for what is wrong with a call.
const (
	CodeUnknownTool = "unknown_tool"
	CodeArguments   = "invalid_arguments"
	CodeTimeout     = "timeout"
	CodeDenied      = "denied"
	CodeUnknown     = "outcome_unknown"
	CodeCancelled   = "cancelled"
	CodeTool        = "tool_error" // the tool says that it failed
	CodeServer      = "server_error"
)

// Call is a call that a model asked for.
type Call struct {
	ID            int64 // given by the recorder
	Position      int32
	CallID        string // the provider's
	Name          string // as the model wrote it
	Arguments     string // likewise
	Signature     []byte
	Ref           Ref
	Repeatable    bool
	NeedsApproval bool
	Status        Status
	Content       string // of a final one: what the model is told
	Error         string // a word
	// Took is how long the tool worked, of one that was called.
	Took time.Duration
}

// Cycle is an answer that asked for tools, with its calls.
type Cycle struct {
	Number int32
	Text   string
	Usage  llm.Usage
	Calls  []Call
}

// Recorder keeps what happens. Its errors end the loop: what is not recorded must
// not happen. One that is not allowed to write any more gives ErrSuperseded.
type Recorder interface {
	// Load gives what was recorded, in order.
	Load(ctx context.Context) ([]Cycle, error)
	// Begin records an answer with its calls and gives these their ids.
	Begin(ctx context.Context, c *Cycle) error
	// Start records that a call begins.
	Start(ctx context.Context, c *Call) error
	// End records how a call ended.
	End(ctx context.Context, c *Call) error
}

// EventKind is what an event tells.
type EventKind string

// The kinds of events.
const (
	EventText     EventKind = "text"     // a piece of the model's answer
	EventAnswer   EventKind = "answer"   // an answer is complete; Usage
	EventCall     EventKind = "call"     // a call changed its state
	EventProgress EventKind = "progress" // a call tells how far it is; Text
)

// Event is something that happened. Events come one at a time.
type Event struct {
	Kind  EventKind
	Text  string
	Call  *Call
	Cycle int32
	Usage llm.Usage
}

// Options of a loop.
type Options struct {
	Provider llm.Provider
	Tools    Toolset
	Recorder Recorder
	Emit     func(Event) error // nil: nobody listens; its error ends the loop
	// Absent tells why a tool is not on offer that was, where that may pass; "" when it is
	// gone for good, or nothing is known. nil: nothing ever is.
	Absent   func(Ref) string
	Patience time.Duration // first pause before a missing tool is looked for again; 0: a second
	Cycles   int           // 0: DefaultCycles; more than MaxCycles are not accepted
	Parallel int           // calls at the same time; 0: DefaultParallel
}

// Result is how a loop ended.
type Result struct {
	// Response is the last answer; none if the loop was suspended.
	Response llm.Response
	// Suspended: calls wait for a person. Run goes on when they have decided.
	Suspended bool
	// Forced: the model had asked for tools as often as it may and was made to answer.
	Forced bool
	Cycles int
	Used   llm.Usage // by this run of the loop
	Total  llm.Usage // with what was recorded before
}

// CyclesError ends a loop whose model keeps asking for tools, even when it is told to
// answer without.
type CyclesError struct{ Limit int }

// Error implements error.
func (e *CyclesError) Error() string {
	return fmt.Sprintf("The model asked for tools %d times without coming to an answer; that is the limit (max_cycles, at most %d).", e.Limit, MaxCycles)
}

// ErrSuperseded says that somebody else has taken over.
var ErrSuperseded = errors.New("the attempt was superseded")
