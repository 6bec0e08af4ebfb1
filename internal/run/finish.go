package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
)

// FinishOptions go with the end of an attempt.
type FinishOptions struct {
	// Next, if set, is the worker that would go on with one of the node runs that
	// follow; it is claimed in the same transaction, which saves a round trip
	// through the queue.
	Next *uuid.UUID
	// NextQueues are the queues that Next consumes; what follows in others gets a job
	// there. nil: all queues.
	NextQueues []string
	// Before runs inside the transaction, after the fence has held; the caller
	// appends what it still has buffered for the attempt.
	Before func(ctx context.Context, tx *postgres.Tx) error
	// Holder, if set, is the worker that must hold the attempt: one that another worker
	// has taken over is superseded for it.
	Holder *uuid.UUID
	// Under runs inside the transaction, under the locks of the run, the node run and the
	// attempt, before that ends. It may refuse the end, or fill in how the attempt went.
	Under func(ctx context.Context, tx *postgres.Tx, n *NodeRun, a *Attempt, res *Result) error
}

// goesOnWith reports whether the worker would go on with a node run.
func (o *FinishOptions) goesOnWith(n NodeRun) bool {
	return o.Next != nil && !isControl(flowchart.Kind(n.Kind)) && (o.NextQueues == nil || slices.Contains(o.NextQueues, n.Queue))
}

// Finish commits how an attempt ended and everything that follows from it: node
// run, artifacts, routing, successors with their jobs, the run's end, events.
// What is large is stored, and what decisions will read is loaded, before the
// run is locked. ErrSuperseded means that the attempt was not the open one any
// more; nothing was changed.
func (e *Engine) Finish(ctx context.Context, nodeRunID int64, attempt int32, res Result, o FinishOptions) (*Claim, error) {
	for try := 1; ; try++ {
		next, err := e.finishOnce(ctx, nodeRunID, attempt, res, o)
		// The blob was collected before it was referred to: this took longer than the
		// clean-up waits. It is stored again.
		if postgres.IsForeignKey(err) && try < maxPuts {
			continue
		}
		return next, err
	}
}

// maxPuts bounds how often blobs that were collected too early are stored again.
const maxPuts = 3

func (e *Engine) finishOnce(ctx context.Context, nodeRunID int64, attempt int32, res Result, o FinishOptions) (*Claim, error) {
	seen, err := e.q.GetNodeRunToEnd(ctx, e.DB, nodeRunID)
	if err != nil {
		return nil, fmt.Errorf("load node run %d: %w", nodeRunID, err)
	}
	if seen.Attempt != attempt || seen.FinishedAt != nil {
		return nil, ErrSuperseded
	}
	end, err := e.prepareEnd(ctx, &seen, res)
	if err != nil {
		return nil, err
	}
	if seen.FlowchartRunID == nil {
		return nil, e.finishQuick(ctx, nodeRunID, attempt, *end, o)
	}
	var next *Claim
	err = e.withOutputs(ctx, end.outputs, func() error {
		return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			next = nil
			return e.onRun(ctx, tx, *seen.FlowchartRunID, end.outputs, func(ctx context.Context, c *change) error {
				if err := c.finish(ctx, nodeRunID, attempt, *end, o); err != nil {
					return err
				}
				next, err = c.claimNext(ctx, &o)
				return err
			})
		})
	})
	return next, err
}

// claimNext claims one of the node runs that this transaction queued, if the worker
// would go on with one. Its job is not inserted: the claim is the stronger pointer, and
// the sweep finds it if the worker dies.
func (c *change) claimNext(ctx context.Context, o *FinishOptions) (*Claim, error) {
	i := slices.IndexFunc(c.fresh, o.goesOnWith)
	if i < 0 {
		return nil, nil //nolint:nilnil // nothing to go on with
	}
	id := c.fresh[i].ID
	if c.run.Status == Queued {
		now := c.e.Now()
		c.run.Status, c.run.StartedAt = Running, &now
	}
	claim, err := c.e.claimTx(ctx, c.tx, id, *o.Next)
	if errors.Is(err, errNotClaimable) {
		return nil, nil //nolint:nilnil // nothing to go on with: the job is there for another worker
	}
	if err != nil {
		return nil, err
	}
	jobs := c.jobs[:0]
	for _, j := range c.jobs {
		if j.NodeRunID != id {
			jobs = append(jobs, j)
		}
	}
	c.jobs = jobs
	return claim, nil
}

func (c *change) finish(ctx context.Context, nodeRunID int64, attempt int32, end ending, o FinishOptions) error {
	n, err := c.e.q.LockNodeRun(ctx, c.tx, nodeRunID)
	if err != nil {
		return fmt.Errorf("lock node run %d: %w", nodeRunID, err)
	}
	if err := c.closeAttempt(ctx, &n, attempt, &end, o); err != nil {
		return err
	}
	return settleNode(ctx, c, &n, &end)
}

// stopping implements settler.
func (c *change) stopping(n *NodeRun) bool {
	return c.run.Status == Cancelling || n.Status == Cancelling
}

func (c *change) nodeSucceeded(ctx context.Context, n *NodeRun, end *ending) error {
	end.output.setOn(n)
	n.RoutingState = end.res.Routing
	if err := c.endNode(ctx, n, end.res.Status, nil, "completed"); err != nil {
		return err
	}
	if c.run.Status == Cancelling {
		return nil // its work is kept, but nothing follows
	}
	step, err := c.completed(n, nil)
	if err != nil {
		return err
	}
	return c.follow(ctx, step)
}

func (c *change) nodeFailed(ctx context.Context, n *NodeRun, f Failure) error {
	if err := c.endNode(ctx, n, Failed, &f, "failed"); err != nil {
		return err
	}
	f.NodeRunID, f.NodeID = n.ID, n.FlowchartNodeID
	return c.fail(ctx, f)
}

// endNode is nodeTx.endNode for a node run of this run: one less is live.
func (c *change) endNode(ctx context.Context, n *NodeRun, status Status, f *Failure, transition string) error {
	c.marking.Live--
	return c.nodeTx.endNode(ctx, n, status, f, c.ended(), transition)
}

// requeue gives a node run another attempt after a while. While the run is held
// it becomes one of those that wait for the end of the pause.
func (c *change) requeue(ctx context.Context, n *NodeRun, after time.Duration, transition string) error {
	status := Queued
	if c.held() {
		status = Pending
		c.marking.Pending = append(c.marking.Pending, n.ID)
	}
	return c.queueAgain(ctx, n, status, after, transition)
}

// finishControl evaluates a control node run that had been queued.
func (c *change) finishControl(ctx context.Context, n *NodeRun) error {
	node, ok := c.graph.Node(n.FlowchartNodeID)
	if !ok {
		return fmt.Errorf("run %d has a node run of unknown node %q", c.run.ID, n.FlowchartNodeID)
	}
	var triggers []Trigger
	if err := json.Unmarshal(n.Triggers, &triggers); err != nil {
		return fmt.Errorf("read triggers of node run %d: %w", n.ID, err)
	}
	output, taken, failure, err := c.evaluate(ctx, &node, triggers)
	if err != nil {
		return err
	}
	output.setOn(n)
	if failure != nil {
		if err := c.endNode(ctx, n, Failed, failure, "failed"); err != nil {
			return err
		}
		failure.NodeRunID, failure.NodeID = n.ID, n.FlowchartNodeID
		return c.fail(ctx, *failure)
	}
	if err := c.endNode(ctx, n, Succeeded, nil, "completed"); err != nil {
		return err
	}
	step, err := c.completed(n, taken)
	if err != nil {
		return err
	}
	return c.follow(ctx, step)
}
