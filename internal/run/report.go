package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/blob"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// The reasons with which a pod is refused. Each ends its work, but the gap, which is
// a fault of the executor.
const (
	ReasonUnknownToken  = "executor.unknown_token"
	ReasonClosed        = "executor.attempt_closed"  // it ended, was given up, or was cancelled before the pod started
	ReasonSupersededPod = "executor.superseded_pod"  // another pod works it
	ReasonNotStarted    = "executor.not_started"     // something was reported before the start
	ReasonGap           = "executor.event_gap"       // an event is missing
	ReasonUnknownUpload = "executor.unknown_upload"  // the result names a file that was not uploaded
	ReasonPodUID        = "executor.pod_uid_missing" // nobody can tell which pod reports
)

// Reporter is a pod that has shown the token of an attempt.
type Reporter struct {
	NodeRunID int64
	Attempt   int32
	RunID     int64 // 0: of a quick node
	PodUID    string
	tokenHash []byte
}

var (
	errUnknownToken = errs.E(errs.Unauthenticated, ReasonUnknownToken,
		"The token belongs to no attempt. It was replaced by a newer one, or the run was removed.")
	errClosed = errs.E(errs.Conflict, ReasonClosed,
		"The attempt has ended, was given up or is cancelled. Nothing of it is taken any more; stop the work.")
	errOtherPod = errs.E(errs.Conflict, ReasonSupersededPod, "Another pod works this attempt. Stop without having done anything.")
	errBegin    = errs.E(errs.Conflict, ReasonNotStarted, "The attempt has not started. Report started first, and go on after a 2xx.")
)

// Reporter finds the attempt that a token opens. Errors: executor.unknown_token,
// executor.superseded_pod, executor.attempt_closed unless closed is welcome.
func (e *Engine) Reporter(ctx context.Context, tokenHash []byte, podUID string, closed bool) (Reporter, error) {
	row, err := e.q.FindAttemptByToken(ctx, e.DB, tokenHash)
	if postgres.NotFound(err) {
		return Reporter{}, errUnknownToken
	}
	if err != nil {
		return Reporter{}, fmt.Errorf("find the attempt of a token: %w", err)
	}
	switch {
	case podUID == "" || len(podUID) > maxPodUID:
		return Reporter{}, errs.Ef(errs.Invalid, ReasonPodUID, "Say which pod reports: an id of at most %d bytes that no other pod has.", maxPodUID)
	case row.PodUid != nil && *row.PodUid != podUID:
		return Reporter{}, errOtherPod
	case row.FinishedAt != nil && !closed:
		return Reporter{}, errClosed
	}
	out := Reporter{NodeRunID: row.NodeRunID, Attempt: row.Number, PodUID: podUID, tokenHash: tokenHash}
	if row.FlowchartRunID != nil {
		out.RunID = *row.FlowchartRunID
	}
	return out, nil
}

const maxPodUID = 128

// DispatchedPayload reads what an attempt is to work with, as BeginDispatch stored it:
// without secrets. Error: executor.attempt_closed.
func (e *Engine) DispatchedPayload(ctx context.Context, nodeRunID int64, attempt int32) ([]byte, error) {
	a, err := e.q.GetAttempt(ctx, e.DB, dbsqlc.GetAttemptParams{NodeRunID: nodeRunID, Number: attempt})
	if err != nil {
		return nil, fmt.Errorf("load attempt %d of node run %d: %w", attempt, nodeRunID, err)
	}
	if a.FinishedAt != nil || a.PayloadBlob == nil {
		return nil, errClosed
	}
	raw, err := blob.Get(ctx, e.DB, a.PayloadBlob)
	if errs.Is(err, errs.NotFound) {
		return nil, errClosed // it ended just now
	}
	return raw, err
}

// Report is what one batch of events makes of an attempt.
type Report struct {
	EventN       int64 // of the last event
	TextOffset   int64
	Stages       json.RawMessage
	StageChanged bool
	CurrentStage *string
	FirstTokenAt *time.Time
	Drafts       []event.Draft
}

// Reported is the answer to a batch.
type Reported struct {
	AcceptedN int64
	Cancel    bool // the attempt is to stop
}

// Batch is what a pod reports at once.
type Batch struct {
	First, Last int64 // numbers of the events; 0: none, only a question
	Starts      bool  // the first one says that the pod wants to start
	// Apply tells what the events make of the attempt as it is under the lock. It skips
	// those up to a.EventN. It may be called again when the transaction is repeated.
	Apply func(n *NodeRun, a *Attempt) (Report, error)
}

// Report stores a batch of events, each exactly once: an answer without error means
// that all are stored for good. What had been stored before is skipped.
func (e *Engine) Report(ctx context.Context, who Reporter, b Batch) (Reported, error) {
	var out Reported
	err := e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		out = Reported{}
		n, err := e.q.LockNodeRun(ctx, tx, who.NodeRunID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", who.NodeRunID, err)
		}
		a, err := e.q.LockAttempt(ctx, tx, dbsqlc.LockAttemptParams{NodeRunID: n.ID, Number: who.Attempt})
		if err != nil {
			return fmt.Errorf("lock attempt %d of node run %d: %w", who.Attempt, n.ID, err)
		}
		if err := e.report(ctx, tx, who, &n, &a, b); err != nil {
			return err
		}
		out = Reported{AcceptedN: a.EventN, Cancel: a.CancelRequestedAt != nil}
		return nil
	})
	return out, err
}

// ReportEnd is Report for a batch that ends with the result: it is stored with all
// that follows from it, or not at all. settle may change the result by what the
// attempt is under the lock.
func (e *Engine) ReportEnd(ctx context.Context, who Reporter, b Batch, res Result, settle func(n *NodeRun, a *Attempt, res *Result)) (Reported, error) {
	var out Reported
	_, err := e.Finish(ctx, who.NodeRunID, who.Attempt, res, FinishOptions{
		Under: func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt, res *Result) error {
			if err := who.check(a); err != nil {
				return err
			}
			if a.EventN >= b.Last {
				return gapAfter(a.EventN, b.Last) // the result's number is taken by something else
			}
			if err := e.report(ctx, tx, who, n, a, b); err != nil {
				return err
			}
			out = Reported{AcceptedN: a.EventN, Cancel: a.CancelRequestedAt != nil}
			settle(n, a, res)
			return nil
		},
	})
	if errors.Is(err, ErrSuperseded) {
		return e.alreadyEnded(ctx, who, b)
	}
	return out, err
}

// alreadyEnded tells a batch whose answer was lost from one that comes too late.
func (e *Engine) alreadyEnded(ctx context.Context, who Reporter, b Batch) (Reported, error) {
	a, err := e.q.GetAttempt(ctx, e.DB, dbsqlc.GetAttemptParams{NodeRunID: who.NodeRunID, Number: who.Attempt})
	if err != nil {
		return Reported{}, fmt.Errorf("load attempt %d of node run %d: %w", who.Attempt, who.NodeRunID, err)
	}
	if err := who.check(&a); err != nil {
		return Reported{}, err
	}
	if b.Last == 0 || b.Last > a.EventN {
		return Reported{}, errClosed
	}
	return Reported{AcceptedN: a.EventN}, nil
}

// check is the fence of a pod, but for the end of the attempt.
func (who Reporter) check(a *Attempt) error {
	switch {
	case string(a.TokenHash) != string(who.tokenHash):
		return errUnknownToken
	case a.PodUid != nil && *a.PodUid != who.PodUID:
		return errOtherPod
	}
	return nil
}

// report applies a batch; n and a are locked, and are as stored afterwards.
func (e *Engine) report(ctx context.Context, tx *postgres.Tx, who Reporter, n *NodeRun, a *Attempt, b Batch) error {
	if err := who.check(a); err != nil {
		return err
	}
	switch {
	case b.Last != 0 && b.Last <= a.EventN:
		return nil // the answer to it was lost
	case a.FinishedAt != nil || n.Attempt != a.Number:
		return errClosed
	case b.First > a.EventN+1:
		return gapAfter(a.EventN, b.First)
	case a.PodUid == nil && !b.Starts:
		return errBegin
	case a.PodUid == nil:
		if err := e.start(ctx, tx, who, n, a); err != nil {
			return err
		}
	}
	if b.Last == 0 {
		return nil
	}
	r, err := b.Apply(n, a)
	if err != nil {
		return err
	}
	return e.saveReport(ctx, tx, n, a, r)
}

func gapAfter(accepted, first int64) error {
	return errs.Ef(errs.Conflict, ReasonGap, "Event %d comes next, event %d came. Send them in order, without a gap.", accepted+1, first)
}

// start lets a pod begin, if the attempt is not to stop.
func (e *Engine) start(ctx context.Context, tx *postgres.Tx, who Reporter, n *NodeRun, a *Attempt) error {
	if a.CancelRequestedAt != nil {
		return errClosed
	}
	var err error
	*a, err = e.q.ConfirmDispatch(ctx, tx, dbsqlc.ConfirmDispatchParams{
		PodUid: &who.PodUID, TimeoutSeconds: n.TimeoutSeconds, NodeRunID: n.ID, Number: a.Number,
	})
	if err != nil {
		return fmt.Errorf("confirm dispatch of node run %d: %w", n.ID, err)
	}
	e.hint(tx, n.ID, a.Number)
	return e.announceNode(tx, n, a, "confirmed")
}

func (e *Engine) saveReport(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt, r Report) error {
	a.EventN, a.TextOffset, a.Stages = r.EventN, r.TextOffset, r.Stages
	if a.FirstTokenAt == nil {
		a.FirstTokenAt = r.FirstTokenAt
	}
	err := e.q.SaveReport(ctx, tx, dbsqlc.SaveReportParams{
		EventN: r.EventN, TextOffset: r.TextOffset, Stages: r.Stages, FirstTokenAt: r.FirstTokenAt, NodeRunID: n.ID, Number: a.Number,
	})
	if err != nil {
		return fmt.Errorf("save report of node run %d: %w", n.ID, err)
	}
	for _, d := range r.Drafts {
		if err := e.Log.Append(tx, d); err != nil {
			return err
		}
	}
	if !r.StageChanged {
		return nil
	}
	if _, err := e.q.SaveStage(ctx, tx, dbsqlc.SaveStageParams{ID: n.ID, Attempt: a.Number, CurrentStage: r.CurrentStage}); err != nil {
		return fmt.Errorf("save stage of node run %d: %w", n.ID, err)
	}
	if r.CurrentStage != nil {
		n.CurrentStage = r.CurrentStage
	}
	return e.announceStage(tx, n, a)
}
