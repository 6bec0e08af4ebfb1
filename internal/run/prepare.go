package run

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/flowchart"
)

// Work is what an executor needs to run an attempt.
type Work struct {
	Kind         string
	Config       json.RawMessage // templates rendered
	InputContext json.RawMessage // what the node got, for people and for the handler
}

// inputContext is stored with the node run and shown as its input.
type inputContext struct {
	Flowchart map[string]any             `json:"flowchart"` // null: a quick node
	Node      map[string]any             `json:"node"`
	Triggers  []Trigger                  `json:"trigger_sources"`
	Upstream  json.RawMessage            `json:"latest_upstream"`
	Context   map[string]json.RawMessage `json:"context_only_upstream_nodes,omitempty"`
	Config    json.RawMessage            `json:"config"`

	RequestedBy *requester `json:"requested_by,omitempty"` // of a quick node
}

// requester is who asked for a quick node.
type requester struct {
	UserID int64 `json:"user_id"`
}

// Prepare loads what a claimed node run works with and renders its templates.
// A *Failure as error is the node's own (a template that cannot be rendered).
func (e *Engine) Prepare(ctx context.Context, claim *Claim) (Work, *Failure, error) {
	n := &claim.NodeRun
	if n.FlowchartRunID == nil {
		return prepareQuick(n), nil, nil
	}
	r, err := e.q.GetRun(ctx, e.DB, *n.FlowchartRunID)
	if err != nil {
		return Work{}, nil, fmt.Errorf("load run %d: %w", *n.FlowchartRunID, err)
	}
	graph, err := e.compiled(ctx, e.DB, r.FlowchartVersionID)
	if err != nil {
		return Work{}, nil, err
	}
	var triggers []Trigger
	if err := json.Unmarshal(n.Triggers, &triggers); err != nil {
		return Work{}, nil, fmt.Errorf("read triggers of node run %d: %w", n.ID, err)
	}
	what, err := readsOf(graph, n.FlowchartNodeID)
	if err != nil {
		return Work{}, failureOf(err, "template"), nil
	}
	var dotted []string
	for _, source := range graph.Sources(n.FlowchartNodeID).Dotted {
		dotted = append(dotted, source.NodeID)
	}
	o := newOutputs()
	o.input = r.Input
	scope, err := e.scopeOf(ctx, o, &r, latestTrigger(triggers), what)
	if isTooLarge(err) {
		return Work{}, failureOf(err, "too_large"), nil
	}
	if err != nil {
		return Work{}, nil, err
	}
	config, err := graph.RenderConfig(ctx, n.FlowchartNodeID, scope)
	if err != nil {
		return Work{}, failureOf(err, "template"), nil
	}
	in := inputContext{
		Flowchart: map[string]any{"id": r.FlowchartID, "run_id": r.ID, "version": r.Version},
		Node:      map[string]any{"id": n.FlowchartNodeID, "kind": n.Kind, "title": n.Title, "execution_index": n.ExecutionIndex},
		Triggers:  triggers, Config: config,
	}
	if err := e.showInputs(ctx, o, &r, &in, dotted); err != nil {
		return Work{}, nil, err
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return Work{}, nil, fmt.Errorf("encode input context: %w", err)
	}
	return Work{Kind: n.Kind, Config: config, InputContext: raw}, nil, nil
}

// scopeOf is scope outside of any transaction.
func (e *Engine) scopeOf(ctx context.Context, o *outputs, r *Run, upstream int64, what reads) (flowchart.Scope, error) {
	if err := o.decodeInput(); err != nil {
		return flowchart.Scope{}, err
	}
	var scope flowchart.Scope
	err := e.withOutputs(ctx, o, func() error {
		var err error
		scope, err = e.scope(ctx, e.DB, o, r, upstream, what)
		return err
	})
	return scope, err
}

// maxShownConfig is how large a rendered config may be to be kept with the input
// context.
const maxShownConfig = 1 << 20

// showInputs fills what people see of a node's inputs. Large outputs are named,
// not copied: they are kept with the node that gave them.
func (e *Engine) showInputs(ctx context.Context, o *outputs, r *Run, in *inputContext, dotted []string) error {
	context, err := e.latestOutputs(ctx, e.DB, r.ID, flowchart.Refs{Nodes: dotted})
	if err != nil {
		return err
	}
	upstream := latestTrigger(in.Triggers)
	m := &missing{runID: r.ID}
	if upstream != 0 {
		m.ids = append(m.ids, upstream)
	}
	for _, id := range context {
		m.ids = append(m.ids, id)
	}
	if err := e.load(ctx, o, m); err != nil {
		return err
	}
	if in.Upstream, err = o.shown(upstream); err != nil {
		return err
	}
	in.Context = make(map[string]json.RawMessage, len(context))
	for node, id := range context {
		if in.Context[node], err = o.shown(id); err != nil {
			return err
		}
	}
	if len(in.Config) > maxShownConfig {
		in.Config, err = json.Marshal(omitted{Omitted: true, Bytes: int64(len(in.Config))})
	}
	return err
}

// omitted stands for what is too large to be shown.
type omitted struct {
	Omitted   bool  `json:"omitted"`
	Bytes     int64 `json:"bytes"`
	NodeRunID int64 `json:"node_run_id,omitempty"`
}

func (o *outputs) shown(id int64) (json.RawMessage, error) {
	ref := o.refs[id]
	if ref.Blob == nil {
		return orNull(ref.Inline), nil
	}
	return json.Marshal(omitted{Omitted: true, Bytes: ref.Bytes, NodeRunID: id})
}
