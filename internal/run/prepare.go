package run

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// Work is what an executor needs to run an attempt.
type Work struct {
	Kind         string
	Config       json.RawMessage // templates rendered
	InputContext json.RawMessage // what the node got, for people and for the handler
}

// inputContext is stored with the node run and shown as its input.
type inputContext struct {
	Flowchart map[string]any             `json:"flowchart"`
	Node      map[string]any             `json:"node"`
	Triggers  []Trigger                  `json:"trigger_sources"`
	Upstream  json.RawMessage            `json:"latest_upstream"`
	Context   map[string]json.RawMessage `json:"context_only_upstream_nodes,omitempty"`
	Config    json.RawMessage            `json:"config"`
}

// Prepare loads what a claimed node run works with and renders its templates.
// A *Failure as error is the node's own (a template that cannot be rendered).
func (e *Engine) Prepare(ctx context.Context, claim *Claim) (Work, *Failure, error) {
	n := &claim.NodeRun
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
	upstream, err := e.outputOf(ctx, latestTrigger(triggers))
	if err != nil {
		return Work{}, nil, err
	}
	refs, err := graph.NodeRefs(n.FlowchartNodeID)
	if err != nil {
		return Work{}, failureOf(err, "template"), nil
	}
	var dotted []string
	for _, source := range graph.Sources(n.FlowchartNodeID).Dotted {
		dotted = append(dotted, source.NodeID)
	}
	refs.Nodes = append(slices.Clone(refs.Nodes), dotted...)
	nodes, err := e.latestOutputs(ctx, e.DB, r.ID, refs)
	if err != nil {
		return Work{}, nil, err
	}
	scope, err := newScope(&r, upstream, nodes)
	if err != nil {
		return Work{}, nil, err
	}
	config, err := graph.RenderConfig(ctx, n.FlowchartNodeID, scope)
	if err != nil {
		return Work{}, failureOf(err, "template"), nil
	}
	in, err := json.Marshal(inputContext{
		Flowchart: map[string]any{"id": r.FlowchartID, "run_id": r.ID, "version": r.Version},
		Node:      map[string]any{"id": n.FlowchartNodeID, "kind": n.Kind, "title": n.Title, "execution_index": n.ExecutionIndex},
		Triggers:  triggers, Upstream: upstream, Context: only(nodes, dotted), Config: config,
	})
	if err != nil {
		return Work{}, nil, fmt.Errorf("encode input context: %w", err)
	}
	return Work{Kind: n.Kind, Config: config, InputContext: in}, nil, nil
}

func (e *Engine) outputOf(ctx context.Context, nodeRunID int64) (json.RawMessage, error) {
	if nodeRunID == 0 {
		return json.RawMessage("null"), nil
	}
	rows, err := e.q.OutputsOf(ctx, e.DB, []int64{nodeRunID})
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("load output of node run %d: %w", nodeRunID, err)
	}
	return orNull(rows[0].OutputState), nil
}

// latestOutputs loads what nodes.<id> means now, of the nodes that are read.
func (e *Engine) latestOutputs(ctx context.Context, q postgres.Querier, runID int64, refs flowchart.Refs) (map[string]json.RawMessage, error) {
	ids := refs.Nodes
	if !refs.All && len(ids) == 0 {
		return map[string]json.RawMessage{}, nil
	}
	if refs.All {
		ids = nil
	}
	rows, err := e.q.LatestOutputs(ctx, q, dbsqlc.LatestOutputsParams{FlowchartRunID: &runID, NodeIds: ids})
	if err != nil {
		return nil, fmt.Errorf("load outputs of run %d: %w", runID, err)
	}
	out := make(map[string]json.RawMessage, len(rows))
	for _, r := range rows {
		out[r.FlowchartNodeID] = r.OutputState
	}
	return out, nil
}

func only(nodes map[string]json.RawMessage, ids []string) map[string]json.RawMessage {
	out := make(map[string]json.RawMessage, len(ids))
	for _, id := range ids {
		if v, ok := nodes[id]; ok {
			out[id] = v
		}
	}
	return out
}
