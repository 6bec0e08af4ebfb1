package run

import (
	"context"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// inWorker is the executor of nodes that need what only a worker has.
const inWorker = "inline"

// executorOf names the executor of a node run: that of its kind, unless the node
// has to work in the worker itself.
func (e *Engine) executorOf(n *NodeRun) string {
	if n.InWorker {
		return inWorker
	}
	return e.ExecutorFor(n.Kind)
}

// suspend makes a node run wait for a person: it holds no slot of a worker and none
// of its run. If people decided before it came to that, it goes on at once. What is
// decided is decided under the run's lock, so one of both sees the other.
func (c *change) suspend(ctx context.Context, n *NodeRun) error {
	waits := true
	if c.e.Waits != nil {
		var err error
		if waits, err = c.e.Waits(ctx, c.tx, n); err != nil {
			return err
		}
	}
	if !waits {
		return c.requeue(ctx, n, 0, "resumed")
	}
	if err := move(n, Waiting); err != nil {
		return err
	}
	n.QueuedAt, n.CurrentStage = nil, nil
	c.marking.Waiting = append(c.marking.Waiting, n.ID)
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	if err := c.announceNode(n, "waiting"); err != nil {
		return err
	}
	return c.promote(ctx)
}

// NodeRun gives a node run as a transaction sees it.
func (e *Engine) NodeRun(ctx context.Context, q postgres.Querier, id int64) (NodeRun, error) {
	n, err := e.q.GetNodeRun(ctx, q, id)
	if err != nil {
		return n, fmt.Errorf("load node run %d: %w", id, err)
	}
	return n, nil
}

// DecideTx locks a node run, lets f decide about it, and lets it go on if it waits
// and f says so. Errors: those of f; not_found; conflict (node.finished).
func (e *Engine) DecideTx(ctx context.Context, tx *postgres.Tx, nodeRunID int64, f func(ctx context.Context) (goesOn bool, err error)) error {
	seen, err := e.q.GetNodeRun(ctx, tx, nodeRunID)
	if postgres.NotFound(err) || err == nil && seen.FlowchartRunID == nil {
		return errs.Ef(errs.NotFound, "node.not_found", "There is no node run %d of a run.", nodeRunID)
	}
	if err != nil {
		return fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	return e.onRun(ctx, tx, *seen.FlowchartRunID, newOutputs(), func(ctx context.Context, c *change) error {
		n, err := e.q.LockNodeRun(ctx, tx, nodeRunID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", nodeRunID, err)
		}
		if n.FinishedAt != nil || n.Status == Cancelling {
			return errs.Ef(errs.Conflict, "node.finished", "Node run %d has ended or is ending (%s); there is nothing to decide any more.", nodeRunID, n.Status)
		}
		goesOn, err := f(ctx)
		if err != nil || !goesOn || n.Status != Waiting {
			return err
		}
		c.marking.Waiting = slices.DeleteFunc(c.marking.Waiting, func(id int64) bool { return id == nodeRunID })
		return c.requeue(ctx, &n, 0, "resumed")
	})
}
