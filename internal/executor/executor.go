package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// ErrCancelled and ErrTimeout are the causes with which the engine ends the
// context of an attempt; they decide the status of its result. ErrLetGo is the cause
// when only this process is to have nothing to do with it any more; see Remote.
var (
	ErrCancelled = errors.New("attempt cancelled")
	ErrTimeout   = errors.New("attempt timed out")
	ErrLetGo     = errors.New("attempt let go")
)

// Sink receives the events of one attempt in order, one call at a time. Its error
// ends the attempt.
type Sink func(Event) error

// Runner runs the handler of a payload's kind.
type Runner func(ctx context.Context, p Payload, sink Sink) Result

// Executor runs one attempt. Execute blocks until the attempt ended, and never
// longer than its grace period after ctx did. If the cause of ctx is ErrTimeout or
// a deadline the result is TimedOut; for any other cause it is Cancelled.
type Executor interface {
	Name() string
	Execute(ctx context.Context, p Payload, sink Sink) Result
}

// Remote is an executor whose attempts outlive the process that began them: what
// runs them reports to the Studio itself, which stores how they end.
//
// The context of such an attempt ends with ErrCancelled, on which the attempt is to
// be stopped, or with ErrLetGo, on which Execute and Attach return at once and leave
// everything as it is: another process takes the attempt over. It has no deadline
// of the caller's: Payload.Limits has the node's time-out, and the executor keeps
// the time for the dispatch. A result with Settled says that the end is stored
// already, or is somebody else's business; any other is stored by the caller if the
// attempt is still its own. Events of a remote attempt do not go to the sink.
type Remote interface {
	Executor
	// Attach goes on with an attempt that another process dispatched, or was about to.
	// Its context may have ended already. payload loads what was dispatched, with the
	// node's secrets; it is for an attempt that has to be dispatched again.
	Attach(ctx context.Context, nodeRunID int64, attempt int, payload func(ctx context.Context) (Payload, error)) Result
}

// Success makes a succeeded result; output must be encodable as JSON.
func Success(output any) Result {
	data, err := EncodeOutput(output)
	if err != nil {
		return Failure("output", "The output of the node cannot be stored as JSON: "+err.Error(), false)
	}
	return Result{Status: Succeeded, OutputState: data}
}

// Failure makes a failed result.
func Failure(code, message string, retryable bool) Result {
	return Result{Status: Failed, Error: &ResultError{Code: code, Message: CleanText(message), Retryable: retryable}}
}

// Failuref is Failure with a formatted message.
func Failuref(code string, retryable bool, format string, args ...any) Result {
	return Failure(code, fmt.Sprintf(format, args...), retryable)
}

// WithDetails returns r with details added to its error.
func (r Result) WithDetails(details map[string]any) Result {
	if r.Error != nil {
		e := *r.Error
		e.Details = details
		r.Error = &e
	}
	return r
}

// Ended is the result of an attempt whose context ended: TimedOut or Cancelled, by
// the cause of ctx. The second value is false while ctx is alive.
func Ended(ctx context.Context) (Result, bool) {
	if ctx.Err() == nil {
		return Result{}, false
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrTimeout) || errors.Is(cause, context.DeadlineExceeded) {
		return Result{Status: TimedOut, Error: &ResultError{Code: CodeTimeout, Message: "The node did not finish in the time it was given.", Retryable: true}}, true
	}
	if errors.Is(cause, errSink) {
		return Failure(CodeInfra, "The events of this attempt could not be stored.", true), true
	}
	return Result{Status: Cancelled, Error: &ResultError{Code: CodeCancelled, Message: "The node was cancelled."}}, true
}

// settle lets the end of ctx decide over the status that a handler reported: work
// that was cut off is neither a success nor a failure of its own. What it produced
// is kept. A success that came first stays one.
func settle(ctx context.Context, r Result) Result {
	end, ended := Ended(ctx)
	if !ended || r.Status == Succeeded || r.Status == Degraded {
		return r
	}
	end.OutputState, end.Usage, end.Artifacts = r.OutputState, r.Usage, r.Artifacts
	return end
}

var errSink = errors.New("event sink refused an event")

// Run runs runner with everything the protocol asks of an executor: events are
// stamped and numbered from a started event on, a panic becomes a result, the
// payload's own timeout applies, and a failing sink ends the attempt.
func Run(ctx context.Context, p Payload, sink Sink, runner Runner, now func() time.Time) Result {
	if err := p.Validate(); err != nil {
		return Failure("bad_payload", err.Error(), false)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s := p.Limits.TimeoutSeconds; s > 0 {
		timed, stop := context.WithTimeoutCause(ctx, time.Duration(s*float64(time.Second)), ErrTimeout)
		defer stop()
		ctx = timed
	}
	st := &stamp{sink: sink, now: now, fail: func(err error) { cancel(fmt.Errorf("%w: %w", errSink, err)) }}
	if err := st.emit(Event{Type: EventStarted}); err != nil {
		return settle(ctx, Failure(CodeInfra, "The events of this attempt could not be stored.", true))
	}
	res := protect(ctx, p, st.emit, runner)
	st.close()
	return settle(ctx, res)
}

func protect(ctx context.Context, p Payload, sink Sink, runner Runner) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			res = Failuref(CodePanic, false, "The node crashed: %v. This is a defect of the program, not of the flowchart.", v)
		}
	}()
	return runner(ctx, p, sink)
}

// stamp numbers events and keeps calls to the sink apart.
type stamp struct {
	mu     sync.Mutex
	n      int64
	sink   Sink
	now    func() time.Time
	fail   func(error)
	err    error
	closed bool
}

var errClosed = errors.New("the attempt has ended")

func (s *stamp) emit(e Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.err != nil {
		return s.err
	}
	s.n++
	e.V, e.N, e.TS = Version, s.n, s.now().UTC()
	e.Text = CleanText(e.Text)
	if s.err = s.sink(e); s.err != nil {
		s.fail(s.err)
	}
	return s.err
}

// close drops what a goroutine that outlived its handler still wants to say.
func (s *stamp) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

// CleanText makes s storable: valid UTF-8 without NUL, which the database's text
// and JSON types refuse.
func CleanText(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// CleanValue is CleanText for every string and key inside a decoded JSON value.
func CleanValue(v any) any {
	switch v := v.(type) {
	case string:
		return CleanText(v)
	case []any:
		for i := range v {
			v[i] = CleanValue(v[i])
		}
		return v
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[CleanText(k)] = CleanValue(e)
		}
		return out
	}
	return v
}

// DecodeJSON decodes exactly one JSON value, numbers kept as written.
func DecodeJSON(text string) (any, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, errors.New("there is more text after the JSON value")
	}
	return CleanValue(v), nil
}

// EncodeOutput encodes an output state.
func EncodeOutput(v any) (json.RawMessage, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode output: %w", err)
	}
	return json.RawMessage(strings.TrimSuffix(b.String(), "\n")), nil
}
