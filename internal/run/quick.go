package run

import (
	"context"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// quickNodeID is what a quick node has instead of a node of a flowchart.
const quickNodeID = "quick"

// quick is everything that one transaction does to one quick node: a node run that
// belongs to no run. Its own row stands where the run's row stands otherwise: it is
// locked first, and nothing else of the engine is.
type quick struct {
	nodeTx
}

// onQuick locks a quick node, lets f change it, and writes what became of it.
func (e *Engine) onQuick(ctx context.Context, tx *postgres.Tx, id int64, f func(ctx context.Context, c *quick, n *NodeRun) error) error {
	n, err := e.q.LockNodeRun(ctx, tx, id)
	if err != nil {
		return fmt.Errorf("lock node run %d: %w", id, err)
	}
	c := &quick{nodeTx{e: e, tx: tx}}
	if err := f(ctx, c, &n); err != nil {
		return err
	}
	return c.flush(ctx)
}

// finishQuick is the transaction that ends an attempt of a quick node. Nothing follows
// from it but the node run itself.
func (e *Engine) finishQuick(ctx context.Context, nodeRunID int64, attempt int32, end ending, o FinishOptions) error {
	return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		end := end // Under may change it, and the transaction may be repeated
		return e.onQuick(ctx, tx, nodeRunID, func(ctx context.Context, c *quick, n *NodeRun) error {
			if err := c.closeAttempt(ctx, n, attempt, &end, o); err != nil {
				return err
			}
			return settleNode(ctx, c, n, &end)
		})
	})
}

// stopping implements settler.
func (c *quick) stopping(n *NodeRun) bool { return n.Status == Cancelling }

func (c *quick) nodeSucceeded(ctx context.Context, n *NodeRun, end *ending) error {
	end.output.setOn(n)
	n.RoutingState = end.res.Routing
	return c.endNode(ctx, n, end.res.Status, nil, nil, "completed")
}

func (c *quick) nodeFailed(ctx context.Context, n *NodeRun, f Failure) error {
	return c.endNode(ctx, n, Failed, &f, nil, "failed")
}

func (c *quick) nodeCancelled(ctx context.Context, n *NodeRun) error {
	return c.endNode(ctx, n, Cancelled, nil, nil, "cancelled")
}

func (c *quick) suspend(ctx context.Context, n *NodeRun) error {
	waits, err := c.wait(ctx, n)
	if err != nil || waits {
		return err
	}
	return c.requeue(ctx, n, 0, "resumed")
}

func (c *quick) requeue(ctx context.Context, n *NodeRun, after time.Duration, transition string) error {
	return c.queueAgain(ctx, n, Queued, after, transition)
}

// decide lets f decide about the quick node, and lets it go on if it waits and f says
// so.
func (c *quick) decide(ctx context.Context, n *NodeRun, f func(ctx context.Context) (bool, error)) error {
	goesOn, err := decideAbout(ctx, n, f)
	if err != nil || !goesOn {
		return err
	}
	return c.requeue(ctx, n, 0, "resumed")
}

// cancel asks the quick node to stop: at once if nobody works it, else it is
// cancelling until its holder has confirmed.
func (c *quick) cancel(ctx context.Context, n *NodeRun) error {
	switch {
	case n.FinishedAt != nil:
		return errs.Ef(errs.Conflict, "node.finished", "Node run %d has ended already (%s).", n.ID, n.Status)
	case n.Status == Cancelling:
		return nil
	case n.Status == Running:
		return c.orderStop(ctx, n)
	}
	now := c.e.Now()
	n.CancelRequestedAt = &now
	return c.nodeCancelled(ctx, n)
}
