package run

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/run/dbsqlc"
	"github.com/llmctl/studio/internal/tracing"
)

// follow turns what the marking says into node runs: control nodes are
// evaluated here and now (and what follows from them, too), others are queued.
func (c *change) follow(ctx context.Context, step flowchart.Step) error {
	todo := step.Activations
	skipped := step.Skipped
	for {
		for _, id := range skipped {
			if err := c.skip(ctx, id); err != nil {
				return err
			}
		}
		if len(todo) == 0 {
			break
		}
		next, err := c.activate(ctx, todo[0])
		if err != nil {
			return err
		}
		if c.run.Status == Cancelling {
			return nil // a failure stopped the run: nothing more begins
		}
		todo = append(todo[1:], next.Activations...)
		skipped = next.Skipped
	}
	return c.promote(ctx)
}

// activate makes the node run of one activation. A control node is evaluated at
// once as long as the transaction has not done too many of them; the step that
// follows from it is returned.
func (c *change) activate(ctx context.Context, a flowchart.Activation) (flowchart.Step, error) {
	var none flowchart.Step
	node, ok := c.graph.Node(a.NodeID)
	if !ok {
		return none, fmt.Errorf("run %d activates unknown node %q", c.run.ID, a.NodeID)
	}
	if c.run.NodeExecutions >= c.run.MaxNodeExecutions {
		return none, c.fail(ctx, Failure{
			Code: "max_node_executions", NodeID: node.ID,
			Message: fmt.Sprintf("The run reached its limit of %d node executions at %q. Raise the flowchart's limit or check its loops.",
				c.run.MaxNodeExecutions, node.Title),
		})
	}
	c.run.NodeExecutions++
	if c.marking.Executions == nil {
		c.marking.Executions = map[string]int32{}
	}
	c.marking.Executions[node.ID]++
	triggers := make([]Trigger, len(a.Triggers))
	for i, t := range a.Triggers {
		triggers[i] = Trigger{EdgeID: t.EdgeID, Source: t.SourceNodeID, NodeRunID: t.Ref}
	}
	if isControl(node.Kind) && c.control < maxControlPerTx && !c.held() {
		c.control++
		return c.runControl(ctx, &node, triggers)
	}
	return none, c.queue(ctx, &node, triggers)
}

func (c *change) params(ctx context.Context, node *flowchart.Node, triggers []Trigger, status Status) (dbsqlc.InsertNodeRunParams, error) {
	raw, err := json.Marshal(triggers)
	if err != nil {
		return dbsqlc.InsertNodeRunParams{}, fmt.Errorf("encode triggers: %w", err)
	}
	policy, err := flowchart.DecodeCommon(node.Config)
	if err != nil {
		return dbsqlc.InsertNodeRunParams{}, err
	}
	timeout := policy.TimeoutSeconds
	if timeout == 0 {
		timeout = c.e.timeoutOf(string(node.Kind), node.Config).Seconds()
	}
	queue, err := c.e.queueOf(ctx, c.tx, string(node.Kind), node.Config)
	if err != nil {
		return dbsqlc.InsertNodeRunParams{}, err
	}
	return dbsqlc.InsertNodeRunParams{
		ProjectID: c.run.ProjectID, FlowchartRunID: &c.run.ID, FlowchartID: &c.run.FlowchartID,
		FlowchartNodeID: node.ID, Kind: string(node.Kind), Title: node.Title, Status: status,
		MaxAttempts: int32(max(policy.Retry.MaxAttempts, 1)), BackoffSeconds: policy.Retry.BackoffSeconds, TimeoutSeconds: timeout,
		ExecutionIndex: c.marking.Executions[node.ID], Queue: queue, Triggers: raw, RequestID: c.run.RequestID, CorrelationID: c.run.CorrelationID,
		Traceparent:   tracing.RunSpan(c.run.Traceparent, c.run.ID),
		InWorker:      c.e.InWorker != nil && c.e.InWorker(string(node.Kind), node.Config),
		ExecutionMode: c.e.modeOf(string(node.Kind), node.Config),
	}, nil
}

// queue makes a node run that a worker will claim. Beyond max_parallel_nodes, and
// while the run is held, it stays pending, without a job, until promote lets it go.
func (c *change) queue(ctx context.Context, node *flowchart.Node, triggers []Trigger) error {
	status := Queued
	if c.held() || c.marking.active() >= int(c.run.MaxParallelNodes) {
		status = Pending
	}
	p, err := c.params(ctx, node, triggers, status)
	if err != nil {
		return err
	}
	if status == Queued {
		now := c.e.Now()
		p.QueuedAt = &now
	}
	n, err := c.e.q.InsertNodeRun(ctx, c.tx, p)
	if err != nil {
		return fmt.Errorf("insert node run: %w", err)
	}
	c.marking.Live++
	if status == Pending {
		c.marking.Pending = append(c.marking.Pending, n.ID)
	} else {
		c.fresh = append(c.fresh, n)
		c.jobs = append(c.jobs, Job{NodeRunID: n.ID, Queue: n.Queue})
	}
	return c.announceNode(&n, "queued")
}

// promote queues pending node runs while the run has room for them. One that
// waits for its next try keeps its time.
func (c *change) promote(ctx context.Context) error {
	for !c.held() && len(c.marking.Pending) > 0 && c.marking.active() < int(c.run.MaxParallelNodes) {
		id := c.marking.Pending[0]
		c.marking.Pending = c.marking.Pending[1:]
		n, err := c.e.q.LockNodeRun(ctx, c.tx, id)
		if err != nil {
			return fmt.Errorf("lock pending node run %d: %w", id, err)
		}
		now := c.e.Now()
		if err := move(&n, Queued); err != nil {
			return err
		}
		n.QueuedAt = &now
		if n.RunAfter.Before(now) {
			n.RunAfter = now
		}
		if err := c.saveNode(ctx, &n); err != nil {
			return err
		}
		if n.RunAfter.Equal(now) {
			c.fresh = append(c.fresh, n)
		}
		c.jobs = append(c.jobs, Job{NodeRunID: n.ID, Queue: n.Queue, At: n.RunAfter})
		if err := c.announceNode(&n, "queued"); err != nil {
			return err
		}
	}
	return nil
}

// skip records that a node will not run in this run any more.
func (c *change) skip(ctx context.Context, nodeID string) error {
	node, ok := c.graph.Node(nodeID)
	if !ok {
		return fmt.Errorf("run %d skips unknown node %q", c.run.ID, nodeID)
	}
	p, err := c.params(ctx, &node, []Trigger{}, Skipped)
	if err != nil {
		return err
	}
	now := c.e.Now()
	p.FinishedAt = &now
	n, err := c.e.q.InsertNodeRun(ctx, c.tx, p)
	if err != nil {
		return fmt.Errorf("insert skipped node run: %w", err)
	}
	return c.announceNode(&n, "skipped")
}
