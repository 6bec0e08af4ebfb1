package server

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
)

// graphForm says how a graph is written, for those who write one.
const graphForm = ` A graph is {"nodes":[{"id","kind","title","position":{"x","y"},"config"}],"edges":[{"id","source","target","mode"}]}. ` +
	`Kinds: start (config.input_schema: JSON Schema of the run's input), task (prompt, model_id, system?, params?, output_schema?), ` +
	`decision (conditions:[{edge_id, expression}], default_edge_id?), http (method, url, headers?, body?), script (command or script+shell), end. ` +
	`Edge modes: solid triggers and gives context, dotted gives context only, dashed attachments only. ` +
	`Texts are templates with {{ CEL }} over input, upstream, nodes.<id>, run; conditions are CEL.`

type graphInput struct {
	ID      int64 `json:"id" min:"1" jsonschema:"Id of the flowchart"`
	Version int32 `json:"version,omitempty" min:"1" jsonschema:"Absent: the current one"`
}

type saveGraphInput struct {
	KeyInput
	ID       int64           `json:"id" min:"1" jsonschema:"Id of the flowchart"`
	Revision int64           `json:"revision,omitempty" min:"1" jsonschema:"The revision that you read; the call fails if somebody edited since. Absent: whatever it is"`
	Graph    json.RawMessage `json:"graph" jsonschema:"The whole graph, {nodes, edges}; what is left out is removed"`
}

type validateGraphInput struct {
	Graph json.RawMessage `json:"graph" jsonschema:"{nodes, edges}"`
}

// Graph is one version of a flowchart.
type Graph struct {
	FlowchartID int64               `json:"flowchart_id"`
	Version     int32               `json:"version"`
	Revision    int64               `json:"revision,omitempty" jsonschema:"Of the flowchart, when this is its current version"`
	Nodes       json.RawMessage     `json:"nodes" jsonschema:"List of nodes"`
	Edges       json.RawMessage     `json:"edges" jsonschema:"List of edges"`
	Valid       bool                `json:"valid" jsonschema:"false: it does not run, see problems"`
	Problems    []flowchart.Finding `json:"problems" jsonschema:"What keeps it from running, and at which node or edge"`
}

// Validation is what is wrong with a graph.
type Validation struct {
	Valid    bool                `json:"valid"`
	Problems []flowchart.Finding `json:"problems"`
}

func graphTools(r *registry) {
	add(r, spec{
		name: "llmctl_get_flowchart_graph", title: "Get a flowchart's graph", permission: auth.Read, effect: reads,
		about: "Gives a flowchart's nodes and edges in full, and what keeps the version from running. The start node's config.input_schema says which input a run takes." + graphForm,
	}, func(ctx context.Context, c *call, in graphInput) (Graph, error) {
		f, err := c.Flowcharts.Get(ctx, in.ID)
		if err != nil {
			return Graph{}, err
		}
		number := f.Flowchart.Version
		if in.Version != 0 {
			number = in.Version
		}
		v, err := c.Flowcharts.Version(ctx, in.ID, number)
		if err != nil {
			return Graph{}, err
		}
		if number != f.Flowchart.Version {
			return viewGraph(&v, 0)
		}
		return viewGraph(&v, f.Flowchart.Revision)
	})
	add(r, spec{
		name: "llmctl_validate_flowchart_graph", title: "Check a graph", permission: auth.Read, effect: reads,
		about: "Checks a graph without saving it: structure, expressions, templates, models. Use it before llmctl_update_flowchart_graph." + graphForm,
	}, func(ctx context.Context, c *call, in validateGraphInput) (Validation, error) {
		g, err := flowchart.Parse(in.Graph)
		if err != nil {
			return Validation{}, err
		}
		found, err := c.Flowcharts.Validate(ctx, g)
		if err != nil {
			return Validation{}, err
		}
		return Validation{Valid: len(found) == 0, Problems: listed(found)}, nil
	})
	add(r, spec{
		name: "llmctl_update_flowchart_graph", title: "Save a flowchart's graph", permission: auth.Write, effect: changes,
		about: "Saves the whole graph as the flowchart's new version; older versions stay, and runs stay on theirs. What only keeps it from running is saved and listed under problems. Read the graph first, keep ids, and give its revision back." + graphForm,
	}, saveGraph)
}

func saveGraph(ctx context.Context, c *call, in saveGraphInput) (Graph, error) {
	g, err := flowchart.Parse(in.Graph)
	if err != nil {
		return Graph{}, err
	}
	if len(g.Nodes) == 0 {
		return Graph{}, errs.E(errs.Invalid, "mcp.empty_graph", "The graph has no nodes. It replaces the whole flowchart: send all of its nodes and edges.")
	}
	key := in.IdempotencyKey
	in.IdempotencyKey = ""
	return repeatable(ctx, c, key, in, func(ctx context.Context, tx *postgres.Tx) (Graph, error) {
		by := c.user.UserID
		v, revision, err := c.Flowcharts.SaveGraph(ctx, tx, in.ID, in.Revision, g, &by)
		if err != nil {
			return Graph{}, err
		}
		if err := c.audit(ctx, tx, "flowchart.saved", "flowchart", in.ID); err != nil {
			return Graph{}, err
		}
		return viewGraph(&v, revision)
	})
}

func viewGraph(v *store.Version, revision int64) (Graph, error) {
	out := Graph{FlowchartID: v.FlowchartID, Version: v.Number, Revision: revision, Edges: json.RawMessage("[]")}
	if err := json.Unmarshal(v.Graph, &out); err != nil {
		return out, fmt.Errorf("read graph of version %d: %w", v.ID, err)
	}
	if err := json.Unmarshal(v.Findings, &out.Problems); err != nil {
		return out, fmt.Errorf("read findings of version %d: %w", v.ID, err)
	}
	out.Problems = listed(out.Problems)
	out.Valid = len(out.Problems) == 0
	return out, nil
}

func listed[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
