package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/executor"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
)

// letGoLimit is how long storing that an attempt was let go may take. If it cannot be
// stored, the end of this worker says the same.
const letGoLimit = 5 * time.Second

// remote holds an attempt that runs outside of this process: it has it dispatched, or
// takes it over, and follows it to its end. The end is mostly stored by others.
func (r *Runner) remote(ctx context.Context, claim *run.Claim) {
	ctx = r.o.Tracer.Under(ctx, spanOf(claim))
	attempt, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.hold(claim, heldAttempt{number: claim.Attempt, cancel: cancel, remote: true})
	defer r.release(claim)
	if claim.NodeRun.Status == run.Cancelling { // the order came while nobody held it
		cancel(executor.ErrCancelled)
	}
	began := r.o.Now()
	res := r.follow(attempt, claim)
	switch {
	case attempt.Err() != nil && !errors.Is(context.Cause(attempt), executor.ErrCancelled):
		r.letGo(ctx, claim) // or the worker ends
	case res.Settled:
		r.count(&claim.NodeRun, began, run.Succeeded, nil) // how it ended is counted where that is stored
	default:
		r.end(ctx, claim, res)
		r.count(&claim.NodeRun, began, resultOf(res, nil).Status, nil)
	}
}

// follow has an attempt dispatched, or takes over one that was.
func (r *Runner) follow(ctx context.Context, claim *run.Claim) executor.Result {
	ex, ok := r.o.Executors[claim.Executor].(executor.Remote)
	if !ok {
		return r.noRemote(ctx, claim)
	}
	if claim.Dispatched {
		return ex.Attach(ctx, claim.NodeRun.ID, int(claim.Attempt), func(ctx context.Context) (executor.Payload, error) {
			return r.dispatchedPayload(ctx, claim)
		})
	}
	work, failure, err := r.prepare(ctx, claim)
	if err != nil {
		return endedOr(ctx, executor.Failure(executor.CodeInfra, "The node's inputs could not be loaded.", true))
	}
	if failure != nil {
		return failed(failure)
	}
	p, failure := r.payload(ctx, claim, work)
	if failure != nil {
		return endedOr(ctx, failed(failure))
	}
	p.Limits.TimeoutSeconds = claim.NodeRun.TimeoutSeconds
	if end, over := executor.Ended(ctx); over {
		return end
	}
	return ex.Execute(ctx, p, func(executor.Event) error { return nil })
}

// noRemote is for a worker that has nothing to dispatch with. What was dispatched
// goes on without it, until another worker takes it.
func (r *Runner) noRemote(ctx context.Context, claim *run.Claim) executor.Result {
	if !claim.Dispatched {
		return executor.Failuref("dispatch", false, "This worker has no executor %q.", claim.Executor)
	}
	r.o.Logger.WarnContext(ctx, "this worker cannot hold an attempt of this executor; leaving it to others",
		"node_run_id", claim.NodeRun.ID, "executor", claim.Executor)
	r.letGo(ctx, claim)
	return executor.Result{Settled: true}
}

// endedOr lets the end of ctx decide over a failure that it may have caused.
func endedOr(ctx context.Context, res executor.Result) executor.Result {
	if end, over := executor.Ended(ctx); over {
		return end
	}
	return res
}

func failed(f *run.Failure) executor.Result {
	return executor.Failure(f.Code, f.Message, f.Retryable)
}

// dispatchedPayload is what an attempt was dispatched with, and the secrets that are
// not kept with it.
func (r *Runner) dispatchedPayload(ctx context.Context, claim *run.Claim) (executor.Payload, error) {
	raw, err := r.o.Engine.DispatchedPayload(ctx, claim.NodeRun.ID, claim.Attempt)
	if err != nil {
		return executor.Payload{}, err
	}
	return WithSecrets(ctx, raw, r.o.Models)
}

// WithSecrets reads a payload as it was stored and adds its node's secrets.
func WithSecrets(ctx context.Context, raw []byte, models Models) (executor.Payload, error) {
	var p executor.Payload
	if err := json.Unmarshal(raw, &p); err != nil {
		return p, fmt.Errorf("read a stored payload: %w", err)
	}
	if p.Model == nil {
		return p, nil
	}
	_, secrets, err := models.Resolve(ctx, p.Model.ID)
	if err != nil {
		return p, fmt.Errorf("load secrets of model %d: %w", p.Model.ID, err)
	}
	p.Secrets = secrets
	return p, nil
}

// end stores how an attempt ended, unless others have, or another worker holds it.
func (r *Runner) end(ctx context.Context, claim *run.Claim, res executor.Result) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	r.commit(ctx, newAttempt(*claim), resultOf(res, nil), heldEnd(claim.Worker, r.o.Now))
}

// heldEnd are the options of an end that the holder stores for a pod.
func heldEnd(holder uuid.UUID, now func() time.Time) run.FinishOptions {
	return run.FinishOptions{
		Holder: &holder,
		Under: func(_ context.Context, _ *postgres.Tx, n *run.NodeRun, a *run.Attempt, res *run.Result) error {
			keepProgress(n, a, res, now())
			return nil
		},
	}
}

func (r *Runner) letGo(ctx context.Context, claim *run.Claim) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), letGoLimit)
	defer cancel()
	err := r.o.Engine.LetGo(ctx, claim.Ref())
	if err != nil && !errors.Is(err, run.ErrStale) {
		r.o.Logger.WarnContext(ctx, "could not store that an attempt was let go; it is taken over when this worker has ended",
			"node_run_id", claim.NodeRun.ID, "error", err)
	}
}
