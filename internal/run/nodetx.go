package run

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// nodeTx is what one transaction does to node runs, to those of a run and to quick
// nodes alike. What only a run has is in change, what only a quick node has in quick.
type nodeTx struct {
	e       *Engine
	tx      *postgres.Tx
	jobs    []Job
	signals []int64
}

// flush inserts the jobs, and sends the stop orders once all is committed.
func (c *nodeTx) flush(ctx context.Context) error {
	if len(c.jobs) > 0 {
		if err := c.e.Jobs.InsertNodes(ctx, c.tx, c.jobs); err != nil {
			return fmt.Errorf("enqueue node runs: %w", err)
		}
	}
	if len(c.signals) > 0 && c.e.Signaller != nil {
		ids := c.signals
		c.tx.AfterCommit(func() { c.e.Signaller.SignalCancel(ids) })
	}
	return nil
}

// settler acts on what the end of an attempt means for its node run.
type settler interface {
	// stopping reports whether what else than a success ends the node run as cancelled.
	stopping(n *NodeRun) bool
	nodeSucceeded(ctx context.Context, n *NodeRun, end *ending) error
	nodeFailed(ctx context.Context, n *NodeRun, f Failure) error
	nodeCancelled(ctx context.Context, n *NodeRun) error
	suspend(ctx context.Context, n *NodeRun) error
	requeue(ctx context.Context, n *NodeRun, after time.Duration, transition string) error
	gotFurther(ctx context.Context, n *NodeRun) (bool, error)
}

// gotFurther implements settler.
func (c *nodeTx) gotFurther(ctx context.Context, n *NodeRun) (bool, error) {
	if !n.InWorker || c.e.GotFurther == nil {
		return false, nil
	}
	return c.e.GotFurther(ctx, c.tx, n)
}

// settleNode decides what an ended attempt means for its node run.
func settleNode(ctx context.Context, s settler, n *NodeRun, end *ending) error {
	res := end.res
	switch {
	case res.Status == Succeeded || res.Status == Degraded:
		return s.nodeSucceeded(ctx, n, end)
	case s.stopping(n) || res.Status == Cancelled:
		return s.nodeCancelled(ctx, n)
	case res.Status == Suspended:
		return s.suspend(ctx, n)
	case res.Status == Lost && res.Error != nil && res.Error.Code == CodeHandedOver:
		return s.requeue(ctx, n, 0, "handed_over")
	case res.Status == Lost:
		further, err := s.gotFurther(ctx, n)
		if err != nil {
			return err
		}
		if further {
			n.Lost = 0
		}
		n.Lost++
		if n.Lost < MaxLost {
			return s.requeue(ctx, n, 0, "lost")
		}
	default:
		n.Failures++
		if res.Error != nil && res.Error.Retryable && n.Failures < n.MaxAttempts {
			return s.requeue(ctx, n, backoff(n), "retrying")
		}
	}
	return s.nodeFailed(ctx, n, finalFailure(n, res))
}

// finalFailure is the error of a node run that gets no other attempt.
func finalFailure(n *NodeRun, res Result) Failure {
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
	return f
}

// backoff doubles with each failure and is at most an hour.
func backoff(n *NodeRun) time.Duration {
	seconds := n.BackoffSeconds * math.Pow(2, float64(n.Failures-1))
	return time.Duration(min(seconds, 3600) * float64(time.Second))
}

// closeAttempt ends the attempt of a locked node run, if it is the open one, and keeps
// what it left. What it means for the node run is settled afterwards.
func (c *nodeTx) closeAttempt(ctx context.Context, n *NodeRun, attempt int32, end *ending, o FinishOptions) error {
	if n.Attempt != attempt || n.FinishedAt != nil {
		return ErrSuperseded
	}
	if o.Under != nil {
		a, err := c.e.q.LockAttempt(ctx, c.tx, dbsqlc.LockAttemptParams{NodeRunID: n.ID, Number: attempt})
		if err != nil {
			return fmt.Errorf("lock attempt %d of node run %d: %w", attempt, n.ID, err)
		}
		if err := o.Under(ctx, c.tx, n, &a, &end.res); err != nil {
			return err
		}
	}
	res := end.res
	if err := c.endAttempt(ctx, n, res, o.Holder); err != nil {
		return err
	}
	if o.Before != nil {
		if err := o.Before(ctx, c.tx); err != nil {
			return err
		}
	}
	if err := c.keepArtifacts(ctx, n, end.artifacts); err != nil {
		return err
	}
	n.CurrentStage = res.CurrentStage
	if res.InputContext != nil {
		n.InputContext = res.InputContext
	}
	n.Usage = res.Usage
	return nil
}

func (c *nodeTx) endAttempt(ctx context.Context, n *NodeRun, res Result, holder *uuid.UUID) error {
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

// queueAgain gives a node run another attempt after a while: at once a job if it is
// queued, none while it is pending.
func (c *nodeTx) queueAgain(ctx context.Context, n *NodeRun, status Status, after time.Duration, transition string) error {
	now := c.e.Now()
	if err := move(n, status); err != nil {
		return err
	}
	n.QueuedAt, n.CurrentStage = &now, nil
	n.RunAfter = now.Add(after)
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	if status == Queued {
		c.jobs = append(c.jobs, Job{NodeRunID: n.ID, Queue: n.Queue, At: n.RunAfter})
	}
	return c.announceNode(n, transition)
}

// wait makes a node run wait for a person, if it still has to; false: it need not.
func (c *nodeTx) wait(ctx context.Context, n *NodeRun) (bool, error) {
	if c.e.Waits != nil {
		if waits, err := c.e.Waits(ctx, c.tx, n); err != nil || !waits {
			return false, err
		}
	}
	if err := move(n, Waiting); err != nil {
		return false, err
	}
	n.QueuedAt, n.CurrentStage = nil, nil
	if err := c.saveNode(ctx, n); err != nil {
		return false, err
	}
	return true, c.announceNode(n, "waiting")
}

// orderStop asks the holder of a running node run to stop.
func (c *nodeTx) orderStop(ctx context.Context, n *NodeRun) error {
	if n.CancelRequestedAt == nil {
		now := c.e.Now()
		n.CancelRequestedAt = &now
	}
	if err := move(n, Cancelling); err != nil {
		return err
	}
	if err := c.e.q.RequestCancel(ctx, c.tx, n.ID); err != nil {
		return fmt.Errorf("request cancel of node run %d: %w", n.ID, err)
	}
	c.signals = append(c.signals, n.ID)
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	return c.announceStop(ctx, n, "cancel_requested")
}

// endNode gives a node run its final state. order numbers the ends of a run.
func (c *nodeTx) endNode(ctx context.Context, n *NodeRun, status Status, f *Failure, order *int32, transition string) error {
	var err error
	if n.Error, err = encodeFailure(f); err != nil {
		return err
	}
	now := c.e.Now()
	if err := move(n, status); err != nil {
		return err
	}
	n.FinishedAt, n.FinishOrder = &now, order
	if err := c.saveNode(ctx, n); err != nil {
		return err
	}
	return c.announceStop(ctx, n, transition)
}

func (c *nodeTx) saveNode(ctx context.Context, n *NodeRun) error {
	err := c.e.q.SaveNodeRun(ctx, c.tx, dbsqlc.SaveNodeRunParams{
		ID: n.ID, Status: n.Status, Failures: n.Failures, Lost: n.Lost, InputContext: n.InputContext,
		OutputState: n.OutputState, OutputBlob: n.OutputBlob, OutputBytes: n.OutputBytes, RoutingState: n.RoutingState, CurrentStage: n.CurrentStage, Error: n.Error,
		Usage: n.Usage, RunAfter: n.RunAfter, QueuedAt: n.QueuedAt, FinishedAt: n.FinishedAt,
		FinishOrder: n.FinishOrder, CancelRequestedAt: n.CancelRequestedAt,
	})
	if err != nil {
		return fmt.Errorf("save node run %d: %w", n.ID, err)
	}
	if n.FinishedAt != nil && n.InWorker && c.e.Ended != nil {
		return c.e.Ended(ctx, c.tx, n)
	}
	return nil
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
