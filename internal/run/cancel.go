package run

import (
	"context"
	"fmt"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Cancel asks a run to stop. What has not begun is cancelled at once; the run
// stays cancelling until everything that runs has confirmed. A run that is
// cancelling already is left alone; one that has ended is a conflict.
func (e *Engine) Cancel(ctx context.Context, runID int64) (Run, error) {
	var out Run
	err := e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = e.CancelTx(ctx, tx, runID)
		return err
	})
	return out, err
}

// CancelTx is Cancel as part of tx. The stop orders go out when tx is committed.
func (e *Engine) CancelTx(ctx context.Context, tx *postgres.Tx, runID int64) (Run, error) {
	err := e.onRun(ctx, tx, runID, newOutputs(), func(ctx context.Context, c *change) error {
		if c.run.FinishedAt != nil {
			return errs.Ef(errs.Conflict, "run.finished", "Run %d has ended already (%s).", runID, c.run.Status)
		}
		if c.run.Status == Cancelling {
			return nil
		}
		return c.stop(ctx)
	})
	if postgres.NotFound(err) {
		return Run{}, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", runID)
	}
	if err != nil {
		return Run{}, err
	}
	out, err := e.q.GetRun(ctx, tx, runID)
	if err != nil {
		return Run{}, fmt.Errorf("load run %d: %w", runID, err)
	}
	return out, nil
}

// Retry starts a finished run anew, on the same version and input.
func (e *Engine) Retry(ctx context.Context, tx *postgres.Tx, runID int64, req StartRequest) (Run, error) {
	old, err := e.q.GetRun(ctx, tx, runID)
	if postgres.NotFound(err) {
		return Run{}, errs.Ef(errs.NotFound, "run.not_found", "There is no run %d.", runID)
	}
	if err != nil {
		return Run{}, fmt.Errorf("load run %d: %w", runID, err)
	}
	if old.FinishedAt == nil {
		return Run{}, errs.Ef(errs.Conflict, "run.not_finished", "Run %d is still %s. Cancel it or wait for its end.", runID, old.Status)
	}
	req.FlowchartID, req.VersionID, req.Input = old.FlowchartID, old.FlowchartVersionID, old.Input
	req.StartNodeID, req.RetryOf = old.StartNodeID, &old.ID
	return e.StartTx(ctx, tx, req)
}
