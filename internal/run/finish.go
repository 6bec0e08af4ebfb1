package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// FinishOptions go with the end of an attempt.
type FinishOptions struct {
	// Next, if set, is the worker that would go on with one of the node runs that
	// follow; it is claimed in the same transaction, which saves a round trip
	// through the queue.
	Next *uuid.UUID
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
	var next *Claim
	err = e.withOutputs(ctx, end.outputs, func() error {
		return e.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			next = nil
			return e.onRun(ctx, tx, seen.FlowchartRunID, end.outputs, func(ctx context.Context, c *change) error {
				if err := c.finish(ctx, nodeRunID, attempt, *end, o); err != nil {
					return err
				}
				if o.Next == nil || len(c.fresh) == 0 || isControl(flowchart.Kind(c.fresh[0].Kind)) {
					return nil
				}
				next, err = c.claimNext(ctx, *o.Next)
				return err
			})
		})
	})
	return next, err
}

// claimNext claims the first node run that this transaction queued. Its job is
// not inserted: the claim is the stronger pointer, and the sweep finds it if the
// worker dies.
func (c *change) claimNext(ctx context.Context, worker uuid.UUID) (*Claim, error) {
	id := c.fresh[0].ID
	if c.run.Status == Queued {
		now := c.e.Now()
		c.run.Status, c.run.StartedAt = Running, &now
	}
	claim, err := c.e.claimTx(ctx, c.tx, id, worker)
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
	if n.Attempt != attempt || n.FinishedAt != nil {
		return ErrSuperseded
	}
	if o.Under != nil {
		a, err := c.e.q.LockAttempt(ctx, c.tx, dbsqlc.LockAttemptParams{NodeRunID: n.ID, Number: attempt})
		if err != nil {
			return fmt.Errorf("lock attempt %d of node run %d: %w", attempt, n.ID, err)
		}
		if err := o.Under(ctx, c.tx, &n, &a, &end.res); err != nil {
			return err
		}
	}
	res := end.res
	if err := c.endAttempt(ctx, &n, res, o.Holder); err != nil {
		return err
	}
	if o.Before != nil {
		if err := o.Before(ctx, c.tx); err != nil {
			return err
		}
	}
	if err := c.keepArtifacts(ctx, &n, end.artifacts); err != nil {
		return err
	}
	n.CurrentStage = res.CurrentStage
	if res.InputContext != nil {
		n.InputContext = res.InputContext
	}
	n.Usage = res.Usage
	return c.settleNode(ctx, &n, &end)
}

func (c *change) endAttempt(ctx context.Context, n *NodeRun, res Result, holder *uuid.UUID) error {
	failure, err := encodeFailure(res.Error)
	if err != nil {
		return err
	}
	stages := res.Stages
	if stages == nil {
		stages = json.RawMessage("[]")
	}
	dispatch := res.DispatchStatus
	if dispatch == "" {
		dispatch = "dispatch_confirmed"
	}
	ended, err := c.e.q.FinishAttempt(ctx, c.tx, dbsqlc.FinishAttemptParams{
		NodeRunID: n.ID, Number: n.Attempt, Status: res.Status, Error: failure, Usage: res.Usage, Stages: stages,
		StartedAt: res.StartedAt, FirstTokenAt: res.FirstTokenAt, DispatchStatus: dispatch, ProviderDispatchID: res.ProviderDispatchID, Holder: holder,
	})
	if postgres.NotFound(err) {
		return ErrSuperseded
	}
	if err != nil {
		return fmt.Errorf("finish attempt %d of node run %d: %w", n.Attempt, n.ID, err)
	}
	if ended.Executor == InPod {
		if err := c.endDispatch(ctx, n); err != nil {
			return err
		}
	}
	c.observeAttempt(n, EndedAttempt{
		Number: n.Attempt, Status: res.Status, Error: res.Error, Usage: res.Usage, Worker: ended.WorkerProcessID, Executor: ended.Executor,
		QueuedAt: ended.QueuedAt, ClaimedAt: ended.ClaimedAt, StartedAt: ended.StartedAt, FirstTokenAt: ended.FirstTokenAt,
	})
	return nil
}

// settleNode decides what an ended attempt means for its node run and its run.
func (c *change) settleNode(ctx context.Context, n *NodeRun, end *ending) error {
	res := end.res
	stopping := c.run.Status == Cancelling || n.Status == Cancelling
	switch {
	case res.Status == Succeeded || res.Status == Degraded:
		return c.nodeSucceeded(ctx, n, end)
	case stopping || res.Status == Cancelled:
		return c.nodeCancelled(ctx, n)
	case res.Status == Suspended:
		return c.suspend(ctx, n)
	case res.Status == Lost && res.Error != nil && res.Error.Code == CodeHandedOver:
		return c.requeue(ctx, n, 0, "handed_over")
	case res.Status == Lost:
		n.Lost++
		if n.Lost < MaxLost {
			return c.requeue(ctx, n, 0, "lost")
		}
	default:
		n.Failures++
		if res.Error != nil && res.Error.Retryable && n.Failures < n.MaxAttempts {
			return c.requeue(ctx, n, backoff(n), "retrying")
		}
	}
	return c.nodeFailed(ctx, n, res)
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

func (c *change) nodeFailed(ctx context.Context, n *NodeRun, res Result) error {
	f := Failure{Code: "unknown", Message: "The node failed without saying why."}
	if res.Error != nil {
		f = *res.Error
	}
	if res.Status == Lost {
		f = Failure{
			Code:    "lost",
			Message: fmt.Sprintf("The worker died %d times while it ran this node; it is not tried again. Last: %s", n.Lost, f.Message),
		}
	}
	if err := c.endNode(ctx, n, Failed, &f, "failed"); err != nil {
		return err
	}
	f.NodeRunID, f.NodeID = n.ID, n.FlowchartNodeID
	return c.fail(ctx, f)
}

func (c *change) endNode(ctx context.Context, n *NodeRun, status Status, f *Failure, transition string) error {
	var err error
	if n.Error, err = encodeFailure(f); err != nil {
		return err
	}
	now := c.e.Now()
	if err := move(n, status); err != nil {
		return err
	}
	n.FinishedAt, n.FinishOrder = &now, c.ended()
	c.marking.Live--
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	return c.announceStop(ctx, n, transition)
}

// requeue gives a node run another attempt after a while. While the run is held
// it becomes one of those that wait for the end of the pause.
func (c *change) requeue(ctx context.Context, n *NodeRun, after time.Duration, transition string) error {
	now, status := c.e.Now(), Queued
	if c.held() {
		status = Pending
	}
	if err := move(n, status); err != nil {
		return err
	}
	n.QueuedAt, n.CurrentStage = &now, nil
	n.RunAfter = now.Add(after)
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	if status == Pending {
		c.marking.Pending = append(c.marking.Pending, n.ID)
	} else {
		c.jobs = append(c.jobs, Job{NodeRunID: n.ID, Queue: n.Queue, At: n.RunAfter})
	}
	return c.announceNode(n, transition)
}

// backoff doubles with each failure and is at most an hour.
func backoff(n *NodeRun) time.Duration {
	seconds := n.BackoffSeconds * math.Pow(2, float64(n.Failures-1))
	return time.Duration(min(seconds, 3600) * float64(time.Second))
}

func encodeFailure(f *Failure) (json.RawMessage, error) {
	if f == nil {
		return nil, nil
	}
	raw, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode failure: %w", err)
	}
	return raw, nil
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
