package run

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
)

// controlDeadline bounds the evaluation of one control node while the run's row
// is locked.
const controlDeadline = 500 * time.Millisecond

// isControl tells which kinds the engine evaluates itself.
func isControl(kind flowchart.Kind) bool {
	switch kind {
	case flowchart.KindStart, flowchart.KindEnd, flowchart.KindDecision:
		return true
	default:
		return false
	}
}

// runControl evaluates a control node and gives the step that follows.
func (c *change) runControl(ctx context.Context, node *flowchart.Node, triggers []Trigger) (flowchart.Step, error) {
	var none flowchart.Step
	output, taken, failure, err := c.evaluate(ctx, node, triggers)
	if err != nil {
		return none, err
	}
	p, err := c.params(node, triggers, Succeeded)
	if err != nil {
		return none, err
	}
	now := c.e.Now()
	p.StartedAt, p.FinishedAt, p.OutputState = &now, &now, output
	if failure != nil {
		p.Status = Failed
		if p.Error, err = json.Marshal(failure); err != nil {
			return none, fmt.Errorf("encode failure: %w", err)
		}
	}
	n, err := c.e.q.InsertNodeRun(ctx, c.tx, p)
	if err != nil {
		return none, fmt.Errorf("insert control node run: %w", err)
	}
	if err := c.announceNode(&n, "completed"); err != nil {
		return none, err
	}
	if failure != nil {
		failure.NodeRunID, failure.NodeID = n.ID, n.FlowchartNodeID
		return none, c.fail(ctx, *failure)
	}
	return c.completed(&n, taken)
}

// completed hands a finished node run to the marking.
func (c *change) completed(n *NodeRun, taken []string) (flowchart.Step, error) {
	c.outputs[n.ID] = n.OutputState
	if n.Kind == string(flowchart.KindEnd) {
		c.run.Output = n.OutputState
	}
	step, err := c.marking.Flow.Complete(c.graph, n.FlowchartNodeID, taken, n.ID)
	if err != nil {
		return step, fmt.Errorf("advance run %d after node %q: %w", c.run.ID, n.FlowchartNodeID, err)
	}
	return step, nil
}

// evaluate gives a control node's output and, of a decision, the edges it takes
// (nil: all). A failure is the node's own; an error is ours.
func (c *change) evaluate(ctx context.Context, node *flowchart.Node, triggers []Trigger) (json.RawMessage, []string, *Failure, error) {
	switch node.Kind {
	case flowchart.KindStart:
		return c.run.Input, nil, nil, nil
	case flowchart.KindEnd:
		out, err := c.upstream(ctx, triggers)
		return out, nil, nil, err
	default:
		return c.decide(ctx, node, triggers)
	}
}

func (c *change) decide(ctx context.Context, node *flowchart.Node, triggers []Trigger) (json.RawMessage, []string, *Failure, error) {
	refs, err := c.graph.NodeRefs(node.ID)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("decision %q: %w", node.ID, err)
	}
	upstream, err := c.upstream(ctx, triggers)
	if err != nil {
		return nil, nil, nil, err
	}
	nodes, err := c.e.latestOutputs(ctx, c.tx, c.run.ID, refs)
	if err != nil {
		return nil, nil, nil, err
	}
	scope, err := newScope(&c.run, upstream, nodes)
	if err != nil {
		return nil, nil, nil, err
	}
	limited, cancel := context.WithTimeout(ctx, controlDeadline)
	defer cancel()
	verdict, errDecide := c.graph.Decide(limited, node.ID, scope)
	out, err := json.Marshal(verdict)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("encode decision: %w", err)
	}
	if errDecide != nil {
		return out, nil, failureOf(errDecide, "decision"), nil
	}
	return out, verdict.MatchedEdgeIDs, nil, nil
}

// failureOf makes a node's failure of an error that the flowchart package words
// for its author.
func failureOf(err error, code string) *Failure {
	e := errs.As(err)
	if e.Code == errs.Internal {
		return &Failure{Code: code, Message: err.Error()}
	}
	if e.Reason == "flow.no_branch" {
		code = "no_match"
	}
	return &Failure{Code: code, Message: e.Message}
}

// upstream is the output of the latest trigger; null for an entry node.
func (c *change) upstream(ctx context.Context, triggers []Trigger) (json.RawMessage, error) {
	id := latestTrigger(triggers)
	if id == 0 {
		return json.RawMessage("null"), nil
	}
	if out, ok := c.outputs[id]; ok {
		return orNull(out), nil
	}
	rows, err := c.e.q.OutputsOf(ctx, c.tx, []int64{id})
	if err != nil {
		return nil, fmt.Errorf("load output of node run %d: %w", id, err)
	}
	for _, r := range rows {
		c.outputs[r.ID] = r.OutputState
	}
	return orNull(c.outputs[id]), nil
}

// latestTrigger is the node run whose token arrived last: its output is what
// expressions call upstream. 0: an entry node.
func latestTrigger(triggers []Trigger) int64 {
	if len(triggers) == 0 {
		return 0
	}
	return triggers[len(triggers)-1].NodeRunID
}

func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}

// newScope decodes what expressions may read.
func newScope(r *Run, upstream json.RawMessage, nodes map[string]json.RawMessage) (flowchart.Scope, error) {
	scope, err := flowchart.NewScope(r.Input, upstream, nodes, map[string]any{
		"id": r.ID, "flowchart_id": r.FlowchartID, "version": int64(r.Version),
		"created_at": r.CreatedAt.UTC().Format(time.RFC3339Nano),
	})
	if err != nil {
		return scope, fmt.Errorf("values of run %d: %w", r.ID, err)
	}
	return scope, nil
}
