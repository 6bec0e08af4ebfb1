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
	p, err := c.params(ctx, node, triggers, Succeeded)
	if err != nil {
		return none, err
	}
	now := c.e.Now()
	p.StartedAt, p.FinishedAt, p.FinishOrder = &now, &now, c.ended()
	p.OutputState, p.OutputBlob, p.OutputBytes = output.columns()
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
	c.outputs.refs[n.ID] = outputOf(n.OutputState, n.OutputBlob, n.OutputBytes)
	if n.Kind == string(flowchart.KindEnd) {
		c.run.Output, c.run.OutputBlob, c.run.OutputBytes = n.OutputState, n.OutputBlob, n.OutputBytes
	}
	step, err := c.marking.Flow.Complete(c.graph, n.FlowchartNodeID, taken, n.ID)
	if err != nil {
		return step, fmt.Errorf("advance run %d after node %q: %w", c.run.ID, n.FlowchartNodeID, err)
	}
	return step, nil
}

// evaluate gives a control node's output and, of a decision, the edges it takes
// (nil: all). A failure is the node's own; an error is ours, *missing among them.
func (c *change) evaluate(ctx context.Context, node *flowchart.Node, triggers []Trigger) (Output, []string, *Failure, error) {
	switch node.Kind {
	case flowchart.KindStart:
		if c.outputs.start == nil {
			return Output{}, nil, nil, &missing{runID: c.run.ID, start: true}
		}
		return *c.outputs.start, nil, nil, nil
	case flowchart.KindEnd:
		out, err := c.upstream(triggers)
		return out, nil, nil, err
	default:
		return c.decide(ctx, node, triggers)
	}
}

func (c *change) decide(ctx context.Context, node *flowchart.Node, triggers []Trigger) (Output, []string, *Failure, error) {
	var none Output
	what, err := readsOf(c.graph, node.ID)
	if err != nil {
		return none, nil, nil, fmt.Errorf("decision %q: %w", node.ID, err)
	}
	if err := c.ownInput(); err != nil {
		return none, nil, nil, err
	}
	scope, err := c.e.scope(ctx, c.tx, c.outputs, &c.run, latestTrigger(triggers), what)
	if isTooLarge(err) {
		return none, nil, failureOf(err, "too_large"), nil
	}
	if err != nil {
		return none, nil, nil, err
	}
	limited, cancel := context.WithTimeout(ctx, controlDeadline)
	defer cancel()
	verdict, errDecide := c.graph.Decide(limited, node.ID, scope)
	out, err := json.Marshal(verdict)
	if err != nil {
		return none, nil, nil, fmt.Errorf("encode decision: %w", err)
	}
	if errDecide != nil {
		return Output{Inline: out}, nil, failureOf(errDecide, "decision"), nil
	}
	return Output{Inline: out}, verdict.MatchedEdgeIDs, nil, nil
}

// ownInput decodes the input of a run that this very transaction begins.
func (c *change) ownInput() error {
	if c.outputs.input == nil {
		return nil
	}
	return c.outputs.decodeInput()
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
func (c *change) upstream(triggers []Trigger) (Output, error) {
	id := latestTrigger(triggers)
	if id == 0 {
		return Output{Inline: json.RawMessage("null")}, nil
	}
	out, ok := c.outputs.refs[id]
	if !ok {
		return out, &missing{runID: c.run.ID, ids: []int64{id}}
	}
	if out.Blob == nil {
		out.Inline = orNull(out.Inline)
	}
	return out, nil
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
