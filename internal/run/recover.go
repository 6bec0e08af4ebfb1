package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/llmctl/studio/internal/postgres"
)

// sweepBatch bounds one round of a sweep; the next round goes on.
const sweepBatch = 100

// Recover ends the attempts whose worker is gone, so that their node runs get
// new ones; it returns how many. One that fails does not keep back the others.
func (e *Engine) Recover(ctx context.Context) (int, error) {
	lost, err := e.q.ListLostAttempts(ctx, e.DB, sweepBatch)
	if err != nil {
		return 0, fmt.Errorf("list lost attempts: %w", err)
	}
	var failures []error
	n := 0
	for _, a := range lost {
		_, err := e.Finish(ctx, a.NodeRunID, a.Number, Result{Status: Lost, Error: &Failure{
			Code: "lost", Retryable: true, Message: fmt.Sprintf("Attempt %d ended with the death of its worker.", a.Number),
		}}, FinishOptions{})
		switch {
		case err == nil:
			n++
		case !errors.Is(err, ErrSuperseded):
			failures = append(failures, err)
		}
	}
	return n, errors.Join(failures...)
}

// ExpireRuns fails the runs whose max_runtime_minutes are over.
func (e *Engine) ExpireRuns(ctx context.Context) error {
	ids, err := e.q.ListOverdueRuns(ctx, e.DB, sweepBatch)
	if err != nil {
		return fmt.Errorf("list overdue runs: %w", err)
	}
	var failures []error
	for _, id := range ids {
		failures = append(failures, e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			return e.onRun(ctx, tx, id, newOutputs(), func(ctx context.Context, c *change) error {
				if c.run.FinishedAt != nil || c.run.Status == Cancelling || c.run.Status == Paused ||
					c.run.DeadlineAt == nil || c.run.DeadlineAt.After(e.Now()) { // it was paused, or resumed, meanwhile
					return nil
				}
				return c.fail(ctx, Failure{Code: "max_runtime", Message: "The run took longer than the flowchart's max_runtime_minutes."})
			})
		}))
	}
	return errors.Join(failures...)
}

// ForceCancels ends cancelled attempts whose holder did not confirm in time. The
// holder is alive (a dead one is Recover's), so its side effects may go on; the
// attempt says so.
func (e *Engine) ForceCancels(ctx context.Context, graceSeconds float64) error {
	stuck, err := e.q.ListStuckCancels(ctx, e.DB, stuckParams(graceSeconds))
	if err != nil {
		return fmt.Errorf("list stuck cancels: %w", err)
	}
	var failures []error
	for _, a := range stuck {
		_, err := e.Finish(ctx, a.NodeRunID, a.Number, Result{Status: Cancelled, Error: &Failure{
			Code: CodeUnconfirmed, Message: "The worker did not confirm the cancel in time; what it had started may have gone on.",
		}}, FinishOptions{})
		if err != nil && !errors.Is(err, ErrSuperseded) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}
