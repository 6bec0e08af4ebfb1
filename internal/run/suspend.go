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
	waits, err := c.wait(ctx, n)
	if err != nil {
		return err
	}
	if !waits {
		return c.requeue(ctx, n, 0, "resumed")
	}
	c.marking.Waiting = append(c.marking.Waiting, n.ID)
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
	if postgres.NotFound(err) {
		return errs.Ef(errs.NotFound, "node.not_found", "There is no node run %d.", nodeRunID)
	}
	if err != nil {
		return fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	if seen.FlowchartRunID == nil {
		return e.onQuick(ctx, tx, nodeRunID, func(ctx context.Context, c *quick, n *NodeRun) error { return c.decide(ctx, n, f) })
	}
	return e.onRun(ctx, tx, *seen.FlowchartRunID, newOutputs(), func(ctx context.Context, c *change) error {
		n, err := e.q.LockNodeRun(ctx, tx, nodeRunID)
		if err != nil {
			return fmt.Errorf("lock node run %d: %w", nodeRunID, err)
		}
		goesOn, err := decideAbout(ctx, &n, f)
		if err != nil || !goesOn {
			return err
		}
		c.marking.Waiting = slices.DeleteFunc(c.marking.Waiting, func(id int64) bool { return id == nodeRunID })
		return c.requeue(ctx, &n, 0, "resumed")
	})
}

// decideAbout has f decide about a locked node run, and tells whether that waits and is
// to go on.
func decideAbout(ctx context.Context, n *NodeRun, f func(ctx context.Context) (bool, error)) (bool, error) {
	if n.FinishedAt != nil || n.Status == Cancelling {
		return false, errs.Ef(errs.Conflict, "node.finished", "Node run %d has ended or is ending (%s); there is nothing to decide any more.", n.ID, n.Status)
	}
	goesOn, err := f(ctx)
	return goesOn && n.Status == Waiting, err
}
