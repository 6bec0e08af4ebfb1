package run

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Claim takes a queued node run for a worker: a new attempt, numbered and held
// by it; or it takes over an attempt in a pod that nobody holds any more. It gives
// nil when there is nothing to do: the job was stale, its time has not come, or it
// pointed at a control node, which is worked here.
func (e *Engine) Claim(ctx context.Context, nodeRunID int64, worker uuid.UUID) (*Claim, error) {
	var out *Claim
	o := newOutputs()
	err := e.withOutputs(ctx, o, func() error {
		return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			var err error
			out, err = e.claimOrContinue(ctx, tx, o, nodeRunID, worker)
			return err
		})
	})
	return out, err
}

func (e *Engine) claimOrContinue(ctx context.Context, tx *postgres.Tx, o *outputs, nodeRunID int64, worker uuid.UUID) (*Claim, error) {
	n, err := e.q.GetNodeRun(ctx, tx, nodeRunID)
	if postgres.NotFound(err) {
		return nil, nil //nolint:nilnil // nothing to do
	}
	if err != nil {
		return nil, fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	if n.Status == Running || n.Status == Cancelling {
		return e.adopt(ctx, tx, &n, worker)
	}
	if n.Status != Queued {
		return nil, nil //nolint:nilnil // nothing to do
	}
	if isControl(flowchart.Kind(n.Kind)) {
		return nil, e.continueControl(ctx, tx, o, &n)
	}
	if err := e.startRun(ctx, tx, &n); err != nil {
		return nil, err
	}
	claim, err := e.claimTx(ctx, tx, nodeRunID, worker)
	if errors.Is(err, errNotClaimable) {
		return nil, nil //nolint:nilnil // somebody was faster
	}
	return claim, err
}

// startRun moves the run of the first claimed node run from queued to running.
func (e *Engine) startRun(ctx context.Context, tx *postgres.Tx, n *NodeRun) error {
	if n.FlowchartRunID == nil {
		return nil
	}
	changed, err := e.q.MarkRunStarted(ctx, tx, *n.FlowchartRunID)
	if err != nil {
		return fmt.Errorf("start run %d: %w", *n.FlowchartRunID, err)
	}
	if changed == 0 {
		return nil
	}
	row, err := e.q.GetRun(ctx, tx, *n.FlowchartRunID)
	if err != nil {
		return fmt.Errorf("load run %d: %w", *n.FlowchartRunID, err)
	}
	return (&change{nodeTx: nodeTx{e: e, tx: tx}, run: row}).announceRun(ctx, Queued)
}

// claimTx is the compare-and-set of a claim.
func (e *Engine) claimTx(ctx context.Context, tx *postgres.Tx, nodeRunID int64, worker uuid.UUID) (*Claim, error) {
	n, err := e.q.ClaimNodeRun(ctx, tx, dbsqlc.ClaimNodeRunParams{ID: nodeRunID, WorkerProcessID: worker})
	if postgres.NotFound(err) {
		return nil, errNotClaimable
	}
	if err != nil {
		return nil, fmt.Errorf("claim node run %d: %w", nodeRunID, err)
	}
	queued := n.CreatedAt
	if n.QueuedAt != nil {
		queued = *n.QueuedAt
	}
	executor := e.executorOf(&n)
	a, err := e.q.InsertAttempt(ctx, tx, dbsqlc.InsertAttemptParams{
		NodeRunID: n.ID, Number: n.Attempt, WorkerProcessID: worker, Executor: executor,
		QueuedAt: queued, TimeoutSeconds: n.TimeoutSeconds,
	})
	if err != nil {
		return nil, fmt.Errorf("insert attempt %d of node run %d: %w", n.Attempt, n.ID, err)
	}
	if err := e.announceNode(tx, &n, &a, "started"); err != nil {
		return nil, err
	}
	return &Claim{NodeRun: n, Attempt: n.Attempt, Worker: worker, Executor: executor}, nil
}

// continueControl works a control node that was queued because its transaction
// had evaluated enough of them.
func (e *Engine) continueControl(ctx context.Context, tx *postgres.Tx, o *outputs, seen *NodeRun) error {
	return e.onRun(ctx, tx, *seen.FlowchartRunID, o, func(ctx context.Context, c *change) error {
		n, err := e.q.LockNodeRun(ctx, tx, seen.ID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", seen.ID, err)
		}
		if n.Status != Queued || c.run.Status == Cancelling {
			return nil
		}
		if c.run.Status == Queued {
			now := e.Now()
			c.run.Status, c.run.StartedAt = Running, &now
		}
		return c.finishControl(ctx, &n)
	})
}
