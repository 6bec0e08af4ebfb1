package node

import (
	"context"
	"errors"
	"time"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/run"
)

// DispatchEngine is what Dispatches needs of the run engine.
type DispatchEngine interface {
	BeginDispatch(ctx context.Context, r run.Ref, dispatchID string, tokenHash, payload []byte) error
	SubmittedDispatch(ctx context.Context, r run.Ref) error
	UncertainDispatch(ctx context.Context, r run.Ref, uncertain bool) error
	NoteDispatch(ctx context.Context, r run.Ref, note string) error
	GiveUpDispatch(ctx context.Context, r run.Ref, res run.Result) (bool, error)
	Dispatch(ctx context.Context, nodeRunID int64, attempt int32) (run.DispatchState, error)
	OpenDispatches(ctx context.Context) ([]run.DispatchState, error)
	AppendPodLog(ctx context.Context, r run.Ref, text string) error
	Finish(ctx context.Context, nodeRunID int64, attempt int32, res run.Result, o run.FinishOptions) (*run.Claim, error)
}

// Dispatches is what a dispatcher of attempts in pods stores, in the executors' terms.
// Each write is fenced by the attempt and its holder: run.ErrStale.
type Dispatches struct {
	engine DispatchEngine
	now    func() time.Time
}

// NewDispatches makes the dispatcher's side of the engine.
func NewDispatches(engine DispatchEngine, now func() time.Time) *Dispatches {
	return &Dispatches{engine: engine, now: now}
}

// Begin stores dispatch_pending with what will be created and the token's hash;
// run.ErrStarted if a pod has started meanwhile. payload holds no secrets; nil keeps
// what was stored before.
func (d *Dispatches) Begin(ctx context.Context, r run.Ref, dispatchID string, tokenHash, payload []byte) error {
	return d.engine.BeginDispatch(ctx, r, dispatchID, tokenHash, payload)
}

// Submitted stores dispatch_submitted.
func (d *Dispatches) Submitted(ctx context.Context, r run.Ref) error {
	return d.engine.SubmittedDispatch(ctx, r)
}

// GiveUp ends the attempt only if it has not started; false: it has, or had ended, or
// is not r's any more.
func (d *Dispatches) GiveUp(ctx context.Context, r run.Ref, res executor.Result) (bool, error) {
	return d.engine.GiveUpDispatch(ctx, r, resultOf(res, nil))
}

// End ends the attempt, started or not, in the name of its holder; false: it had ended,
// or is not r's any more. It is for a pod that is known to be gone.
func (d *Dispatches) End(ctx context.Context, r run.Ref, res executor.Result) (bool, error) {
	_, err := d.engine.Finish(ctx, r.NodeRunID, r.Attempt, resultOf(res, nil), heldEnd(r.Worker, d.now))
	if errors.Is(err, run.ErrSuperseded) {
		return false, nil
	}
	return err == nil, err
}

// Uncertain stores whether the fate of what was dispatched is unknown.
func (d *Dispatches) Uncertain(ctx context.Context, r run.Ref, uncertain bool) error {
	return d.engine.UncertainDispatch(ctx, r, uncertain)
}

// Note keeps a sentence about the pod for people.
func (d *Dispatches) Note(ctx context.Context, r run.Ref, note string) error {
	return d.engine.NoteDispatch(ctx, r, note)
}

// State is what is known of the attempt now.
func (d *Dispatches) State(ctx context.Context, nodeRunID int64, attempt int32) (run.DispatchState, error) {
	return d.engine.Dispatch(ctx, nodeRunID, attempt)
}

// Open lists all open attempts in pods.
func (d *Dispatches) Open(ctx context.Context) ([]run.DispatchState, error) {
	return d.engine.OpenDispatches(ctx)
}

// AppendPodLog keeps what the pod wrote, for people.
func (d *Dispatches) AppendPodLog(ctx context.Context, r run.Ref, text string) error {
	return d.engine.AppendPodLog(ctx, r, text)
}
