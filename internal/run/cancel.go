package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Cancel is CancelTx in a transaction of its own.
func (e *Engine) Cancel(ctx context.Context, runID int64) (Run, error) {
	return e.inTx(ctx, runID, e.CancelTx)
}

// CancelTx asks a run to stop. What has not begun is cancelled at once; the run
// stays cancelling until everything that runs has confirmed. A run that is
// cancelling already is left alone; one that has ended is a conflict
// (run.finished). The stop orders go out when tx is committed.
func (e *Engine) CancelTx(ctx context.Context, tx *postgres.Tx, runID int64) (Run, error) {
	return e.control(ctx, tx, runID, func(ctx context.Context, c *change) error {
		if c.run.FinishedAt != nil {
			return errs.Ef(errs.Conflict, "run.finished", "Run %d has ended already (%s).", runID, c.run.Status)
		}
		if c.run.Status == Cancelling {
			return nil
		}
		return c.stop(ctx)
	})
}

// CancelNodeTx asks one node run to stop; its run, if it has one, goes on without it
// (see nodeCancelled). One that is stopping already is left alone. Errors: not_found;
// conflict (node.finished, run.old_worker).
func (e *Engine) CancelNodeTx(ctx context.Context, tx *postgres.Tx, nodeRunID int64) (NodeRun, error) {
	seen, err := e.q.GetNodeRun(ctx, tx, nodeRunID)
	if postgres.NotFound(err) {
		return seen, errs.Ef(errs.NotFound, "node.not_found", "There is no node run %d.", nodeRunID)
	}
	if err != nil {
		return seen, fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	if seen.FlowchartRunID == nil {
		err = e.onQuick(ctx, tx, nodeRunID, func(ctx context.Context, c *quick, n *NodeRun) error { return c.cancel(ctx, n) })
	} else {
		err = e.cancelNodeOfRun(ctx, tx, &seen)
	}
	if err != nil {
		return seen, err
	}
	out, err := e.q.GetNodeRun(ctx, tx, nodeRunID)
	if err != nil {
		return out, fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	return out, nil
}

func (e *Engine) cancelNodeOfRun(ctx context.Context, tx *postgres.Tx, n *NodeRun) error {
	if err := e.refuseOldWorkers(ctx, tx, controlLevel, "A single node cannot be cancelled"); err != nil {
		return err
	}
	return e.onRun(ctx, tx, *n.FlowchartRunID, newOutputs(), func(ctx context.Context, c *change) error {
		return c.cancelNode(ctx, n.ID)
	})
}

func (c *change) cancelNode(ctx context.Context, id int64) error {
	// What follows may be decisions that read outputs, and these are loaded without a
	// lock: so control nodes get jobs here instead of being evaluated.
	c.control = maxControlPerTx
	n, err := c.e.q.LockNodeRun(ctx, c.tx, id)
	if err != nil {
		return fmt.Errorf("lock node run %d: %w", id, err)
	}
	switch {
	case n.FinishedAt != nil:
		return errs.Ef(errs.Conflict, "node.finished", "Node run %d has ended already (%s).", id, n.Status)
	case n.Status == Cancelling:
		return nil
	case n.Status == Running:
		return c.stopNode(ctx, &n)
	}
	now := c.e.Now()
	n.CancelRequestedAt = &now
	c.marking.Pending = slices.DeleteFunc(c.marking.Pending, func(p int64) bool { return p == id })
	c.marking.Waiting = slices.DeleteFunc(c.marking.Waiting, func(p int64) bool { return p == id })
	return c.nodeCancelled(ctx, &n)
}

// nodeCancelled ends a node run that was stopped. If only it was asked, its run
// goes on: none of its edges is taken, so what only it led to is skipped, and
// joins go on as with a branch that a decision did not take.
func (c *change) nodeCancelled(ctx context.Context, n *NodeRun) error {
	alone := c.run.Status != Cancelling
	if alone {
		n.RoutingState = json.RawMessage(tookNothing)
		c.marking.Cancelled++
	}
	if err := c.endNode(ctx, n, Cancelled, nil, "cancelled"); err != nil || !alone {
		return err
	}
	step, err := c.marking.Flow.Complete(c.graph, n.FlowchartNodeID, []string{}, n.ID)
	if err != nil {
		return fmt.Errorf("advance run %d without node %q: %w", c.run.ID, n.FlowchartNodeID, err)
	}
	return c.follow(ctx, step)
}

// tookNothing is the routing state of a node run that was cancelled by itself.
const tookNothing = `{"taken":[]}`

// reachedEnd reports whether an end node ran: it gave the run its output, if only
// null.
func (c *change) reachedEnd() bool { return c.run.Output != nil || c.run.OutputBlob != nil }

// endCutShort ends a run in which nothing is left because nodes were cancelled.
func (c *change) endCutShort() error {
	raw, err := json.Marshal(Failure{
		Code: "node_cancelled", Message: "A node was cancelled, and no other way led to an end node.",
	})
	if err != nil {
		return fmt.Errorf("encode failure: %w", err)
	}
	c.run.Error = raw
	c.end(Cancelled)
	return nil
}

// ended numbers the end of a node run: the order of the commits, whatever the
// clocks of the workers say.
func (c *change) ended() *int32 {
	c.marking.Ended++
	n := c.marking.Ended
	return &n
}
