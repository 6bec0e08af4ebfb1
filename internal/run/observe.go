package run

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/tracing"
)

// Observer is told what was committed, for figures and traces. Its methods must not
// block, and what they are told may be lost: the process may die first.
type Observer interface {
	// Starting gives the traceparent under which a run that begins hangs, "" if it is
	// not traced. It is asked before the commit.
	Starting(ctx context.Context) string
	AttemptEnded(a EndedAttempt)
	RunEnded(r EndedRun)
}

// EndedAttempt is an attempt whose end was committed.
type EndedAttempt struct {
	NodeRun      NodeRun // as it is now: what became of it says whether there will be another attempt
	Number       int32
	Status       Status
	Error        *Failure
	Usage        json.RawMessage
	Worker       uuid.UUID
	Executor     string
	QueuedAt     time.Time
	ClaimedAt    time.Time
	StartedAt    *time.Time
	FirstTokenAt *time.Time
	At           time.Time // when its end was committed
}

// EndedRun is a run whose end was committed.
type EndedRun struct {
	Run Run // without its input
	At  time.Time
}

// starting asks the observer for what a new run hangs under.
func (e *Engine) starting(ctx context.Context) string {
	if e.Observer == nil {
		return ""
	}
	return e.Observer.Starting(ctx)
}

// observeAttempt has the observer told of an attempt's end once that is committed. n
// is read then: what follows for the node run is decided later in the transaction.
func (c *nodeTx) observeAttempt(n *NodeRun, a EndedAttempt) {
	if c.e.Observer == nil {
		return
	}
	c.tx.AfterCommit(func() {
		a.NodeRun, a.At = *n, c.e.Now()
		c.e.Observer.AttemptEnded(a)
	})
}

// observeRun is likewise for the end of the run.
func (c *change) observeRun() {
	if c.e.Observer == nil || c.run.FinishedAt == nil || c.run.Status == c.previous {
		return
	}
	r := c.run
	c.tx.AfterCommit(func() { c.e.Observer.RunEnded(EndedRun{Run: r, At: c.e.Now()}) })
}

// TraceNames is what the span of a run says beside its row.
type TraceNames struct {
	Flowchart string
	Retried   string // traceparent of the span of the run that it repeats; "" if there is none
}

// TraceNames loads it.
func (e *Engine) TraceNames(ctx context.Context, r *Run) (TraceNames, error) {
	row, err := e.q.GetTraceNames(ctx, e.DB, r.ID)
	if err != nil {
		return TraceNames{}, err
	}
	out := TraceNames{Flowchart: row.Name}
	if r.RetryOf != nil {
		out.Retried = tracing.RunSpan(row.RetriedTraceparent, *r.RetryOf)
	}
	return out, nil
}

// FailureOf reads why a run failed; nil when it did not.
func FailureOf(r *Run) *Failure {
	var f Failure
	if r.Error == nil || json.Unmarshal(r.Error, &f) != nil {
		return nil
	}
	return &f
}
