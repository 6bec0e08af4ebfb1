package run

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run/dbsqlc"
)

// reads is what the expressions of a node read.
type reads struct {
	flowchart.Refs
	upstream bool
}

func readsOf(graph *flowchart.Compiled, nodeID string) (reads, error) {
	refs, err := graph.NodeRefs(nodeID)
	if err != nil {
		return reads{}, err
	}
	upstream, err := graph.ReadsUpstream(nodeID)
	return reads{Refs: refs, upstream: upstream}, err
}

func (r *reads) add(o reads) {
	r.All = r.All || o.All
	r.Nodes = append(r.Nodes, o.Nodes...)
	r.upstream = r.upstream || o.upstream
}

// latestOutputs gives the node runs that nodes.<id> means now, of the nodes that
// are read. Only ids are asked for: it may run under the run's lock.
func (e *Engine) latestOutputs(ctx context.Context, q postgres.Querier, runID int64, refs flowchart.Refs) (map[string]int64, error) {
	out := map[string]int64{}
	ids := refs.Nodes
	if !refs.All && len(ids) == 0 {
		return out, nil
	}
	if refs.All {
		ids = nil
	}
	rows, err := e.q.LatestOutputs(ctx, q, dbsqlc.LatestOutputsParams{FlowchartRunID: &runID, NodeIds: ids})
	if err != nil {
		return nil, fmt.Errorf("find outputs of run %d: %w", runID, err)
	}
	for _, r := range rows {
		out[r.FlowchartNodeID] = r.ID
	}
	return out, nil
}

// scope collects what the expressions of a node read. *missing means that some
// of it has to be loaded first.
func (e *Engine) scope(ctx context.Context, q postgres.Querier, o *outputs, r *Run, upstream int64, what reads) (flowchart.Scope, error) {
	latest, err := e.latestOutputs(ctx, q, r.ID, what.Refs)
	if err != nil {
		return flowchart.Scope{}, err
	}
	need := &missing{runID: r.ID, whole: true, input: !o.hasInput}
	s := flowchart.Scope{Input: o.decoded, Nodes: make(map[string]any, len(latest)), Run: map[string]any{
		"id": r.ID, "flowchart_id": r.FlowchartID, "version": int64(r.Version),
		"created_at": r.CreatedAt.UTC().Format(time.RFC3339Nano),
	}}
	get := func(id int64) (any, error) {
		v, known, err := o.value(id)
		if err == nil && !known {
			need.ids = append(need.ids, id)
		}
		return v, err
	}
	if what.upstream && upstream != 0 {
		if s.Upstream, err = get(upstream); err != nil {
			return s, err
		}
	}
	for node, id := range latest {
		if s.Nodes[node], err = get(id); err != nil {
			return s, err
		}
	}
	if need.input || len(need.ids) > 0 {
		return s, need
	}
	return s, nil
}

// foresee loads what the decisions will read that may follow at once from the end
// of a node run, before the run is locked. It is an estimate: what it misses is
// noticed under the lock, and loaded without it.
func (e *Engine) foresee(ctx context.Context, o *outputs, runID int64, graph *flowchart.Compiled, nodeID string) (decides bool, err error) {
	what := reads{}
	for _, id := range decisionsAfter(graph, nodeID) {
		one, err := readsOf(graph, id)
		if err != nil {
			continue // the decision says it when its turn comes
		}
		decides = true
		what.add(one)
	}
	if !decides {
		return false, nil
	}
	latest, err := e.latestOutputs(ctx, e.DB, runID, what.Refs)
	if err != nil {
		return false, err
	}
	m := &missing{runID: runID, whole: true, input: true}
	for node, id := range latest {
		if node != nodeID { // its newest output is the one that is about to be committed
			m.ids = append(m.ids, id)
		}
	}
	return what.upstream || what.All || slices.Contains(what.Nodes, nodeID), e.load(ctx, o, m)
}

// decisionsAfter lists the decisions that a node leads to over control nodes only.
func decisionsAfter(graph *flowchart.Compiled, nodeID string) []string {
	seen := map[string]bool{nodeID: true}
	var out []string
	for todo := []string{nodeID}; len(todo) > 0; todo = todo[1:] {
		for _, edge := range graph.Graph().Edges {
			if edge.Source != todo[0] || edge.Mode != flowchart.Solid || seen[edge.Target] {
				continue
			}
			node, ok := graph.Node(edge.Target)
			if !ok || !isControl(node.Kind) {
				continue
			}
			seen[edge.Target] = true
			todo = append(todo, edge.Target)
			if node.Kind == flowchart.KindDecision {
				out = append(out, edge.Target)
			}
		}
	}
	return out
}

func isTooLarge(err error) bool { return errs.HasReason(err, "flow.too_large") }
