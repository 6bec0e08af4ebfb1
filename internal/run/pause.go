package run

import (
	"context"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// held reports whether nothing of the run may begin.
func (c *change) held() bool { return c.run.Status == Pausing || c.run.Status == Paused }

// Pause is PauseTx in a transaction of its own.
func (e *Engine) Pause(ctx context.Context, runID int64) (Run, error) {
	return e.inTx(ctx, runID, e.PauseTx)
}

// Resume is ResumeTx in a transaction of its own.
func (e *Engine) Resume(ctx context.Context, runID int64) (Run, error) {
	return e.inTx(ctx, runID, e.ResumeTx)
}

func (e *Engine) inTx(ctx context.Context, runID int64, f func(context.Context, *postgres.Tx, int64) (Run, error)) (Run, error) {
	var out Run
	err := e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		var err error
		out, err = f(ctx, tx, runID)
		return err
	})
	return out, err
}

// PauseTx holds a run between its nodes: what runs ends by itself and is
// committed, nothing else begins. The run is pausing until then, and paused at
// once if nothing runs. One that is held already is left alone. Errors:
// not_found; conflict (run.finished, run.cancelling, run.old_worker).
func (e *Engine) PauseTx(ctx context.Context, tx *postgres.Tx, runID int64) (Run, error) {
	return e.control(ctx, tx, runID, func(ctx context.Context, c *change) error {
		if err := c.mayHold("paused"); err != nil || c.held() {
			return err
		}
		if err := e.refuseOldWorkers(ctx, tx, controlLevel, "A run cannot be paused"); err != nil {
			return err
		}
		c.run.Status = Pausing
		return c.holdBack(ctx)
	})
}

// ResumeTx lets a held run go on: what was held is queued as far as the run has
// room, and the deadline moves by the length of the pause. A run that is not held
// is left alone. Errors: not_found; conflict (run.finished, run.cancelling).
func (e *Engine) ResumeTx(ctx context.Context, tx *postgres.Tx, runID int64) (Run, error) {
	return e.control(ctx, tx, runID, func(ctx context.Context, c *change) error {
		if err := c.mayHold("resumed"); err != nil || !c.held() {
			return err
		}
		r := &c.run
		if r.PausedAt != nil && r.DeadlineAt != nil {
			moved := r.DeadlineAt.Add(e.Now().Sub(*r.PausedAt))
			r.DeadlineAt = &moved
		}
		r.Status, r.PausedAt = Running, nil
		if r.StartedAt == nil {
			r.Status = Queued
		}
		return c.promote(ctx)
	})
}

// control is what pause, resume and cancel have in common.
func (e *Engine) control(ctx context.Context, tx *postgres.Tx, runID int64, f func(ctx context.Context, c *change) error) (Run, error) {
	err := e.onRun(ctx, tx, runID, newOutputs(), f)
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

func (c *change) mayHold(verb string) error {
	r := &c.run
	if r.FinishedAt != nil {
		return errs.Ef(errs.Conflict, "run.finished", "Run %d has ended already (%s) and cannot be %s.", r.ID, r.Status, verb)
	}
	if r.Status == Cancelling {
		return errs.Ef(errs.Conflict, "run.cancelling", "Run %d is being cancelled and cannot be %s.", r.ID, verb)
	}
	return nil
}

// holdBack makes everything that is queued wait. Its jobs find nothing to claim.
// It goes before what waited already, as it would have run before.
func (c *change) holdBack(ctx context.Context) error {
	live, err := c.e.q.LockLiveNodeRuns(ctx, c.tx, &c.run.ID)
	if err != nil {
		return fmt.Errorf("lock live nodes of run %d: %w", c.run.ID, err)
	}
	var held []int64
	for i := range live {
		n := &live[i]
		if n.Status != Queued {
			continue
		}
		if err := move(n, Pending); err != nil {
			return err
		}
		if err := c.saveNode(ctx, n); err != nil {
			return err
		}
		if err := c.announceNode(n, "held"); err != nil {
			return err
		}
		held = append(held, n.ID)
	}
	c.marking.Pending = slices.Concat(held, c.marking.Pending)
	return nil
}
