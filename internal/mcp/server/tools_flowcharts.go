package server

import (
	"context"
	"encoding/json"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
)

type listFlowchartsInput struct {
	PageInput
	Query string `json:"query,omitempty" max:"200" jsonschema:"Part of the name or description"`
}

type createFlowchartInput struct {
	KeyInput
	Name              string          `json:"name" min:"1" max:"200"`
	Description       string          `json:"description,omitempty" max:"2000" jsonschema:"What it is for"`
	MaxNodeExecutions *int32          `json:"max_node_executions,omitempty" min:"1" max:"10000" jsonschema:"The run fails after so many node runs; bounds loops"`
	MaxRuntimeMinutes *int32          `json:"max_runtime_minutes,omitempty" min:"1" max:"100000"`
	MaxParallelNodes  *int32          `json:"max_parallel_nodes,omitempty" min:"1" max:"1000"`
	Graph             json.RawMessage `json:"graph,omitempty" jsonschema:"{nodes, edges} as llmctl_get_flowchart_graph gives them; absent: a start node only"`
}

type updateFlowchartInput struct {
	IDInput
	Revision    int64   `json:"revision,omitempty" min:"1" jsonschema:"The revision that you read; the call fails if somebody edited since. Absent: whatever it is"`
	Name        *string `json:"name,omitempty" min:"1" max:"200" jsonschema:"Absent: as it is"`
	Description *string `json:"description,omitempty" max:"2000" jsonschema:"Absent: as it is"`
}

type deleteFlowchartInput struct {
	IDInput
	Revision int64 `json:"revision,omitempty" min:"1" jsonschema:"The revision that you read; the call fails if somebody edited since. Absent: whatever it is"`
}

func flowchartTools(r *registry) {
	add(r, spec{
		name: "llmctl_list_flowcharts", title: "List flowcharts", permission: auth.Read, effect: reads,
		about: "Lists the flowcharts of the Studio, newest first: id, name, description, version and how the last run ended. Use it first, to find the id of the flowchart that fits a task.",
	}, func(ctx context.Context, c *call, in listFlowchartsInput) (PageOutput[Flowchart], error) {
		before, err := in.before()
		if err != nil {
			return PageOutput[Flowchart]{}, err
		}
		rows, err := c.Flowcharts.List(ctx, in.Query, before, in.rows(c.limits))
		if err != nil {
			return PageOutput[Flowchart]{}, err
		}
		return paged(rows, in.size(c.limits), func(f *store.Flowchart) int64 { return f.Flowchart.ID }, viewFlowchart), nil
	})
	add(r, spec{
		name: "llmctl_get_flowchart", title: "Get a flowchart", permission: auth.Read, effect: reads,
		about: "Gives one flowchart's name, description, limits, current version and revision. The graph itself comes from llmctl_get_flowchart_graph.",
	}, func(ctx context.Context, c *call, in IDInput) (Flowchart, error) {
		return c.flowchart(ctx, c.DB, in.ID)
	})
	add(r, spec{
		name: "llmctl_create_flowchart", title: "Create a flowchart", permission: auth.Write, effect: adds,
		about: "Creates a flowchart, with a graph or with a start node only. Nothing runs yet: llmctl_get_flowchart_graph then lists what keeps it from running, if anything, and llmctl_run_flowchart starts it.",
	}, createFlowchart)
	add(r, spec{
		name: "llmctl_update_flowchart", title: "Rename or describe a flowchart", permission: auth.Write, effect: changes,
		about: "Changes a flowchart's name or description. The graph is changed by llmctl_update_flowchart_graph.",
	}, updateFlowchart)
	add(r, spec{
		name: "llmctl_delete_flowchart", title: "Delete a flowchart", permission: auth.Write, effect: changes,
		about: "Deletes a flowchart. Its runs stay, runs under way go on, and a person can restore it in the Studio. Ask before you delete what you did not make.",
	}, deleteFlowchart)
}

func (c *call) flowchart(ctx context.Context, q postgres.Querier, id int64) (Flowchart, error) {
	f, err := c.Flowcharts.GetIn(ctx, q, id)
	if err != nil {
		return Flowchart{}, err
	}
	return viewFlowchart(&f), nil
}

func createFlowchart(ctx context.Context, c *call, in createFlowchartInput) (Flowchart, error) {
	var g *flowchart.Graph
	if len(in.Graph) > 0 && string(in.Graph) != "null" {
		var err error
		if g, err = flowchart.Parse(in.Graph); err != nil {
			return Flowchart{}, err
		}
	}
	key := in.IdempotencyKey
	in.IdempotencyKey = ""
	return repeatable(ctx, c, key, in, func(ctx context.Context, tx *postgres.Tx) (Flowchart, error) {
		by := c.user.UserID
		id, err := c.Flowcharts.Create(ctx, tx, store.Fields{
			Name: in.Name, Description: in.Description, MaxNodeExecutions: in.MaxNodeExecutions,
			MaxRuntimeMinutes: in.MaxRuntimeMinutes, MaxParallelNodes: in.MaxParallelNodes,
		}, g, &by)
		if err != nil {
			return Flowchart{}, err
		}
		if err := c.audit(ctx, tx, "flowchart.created", "flowchart", id); err != nil {
			return Flowchart{}, err
		}
		return c.flowchart(ctx, tx, id)
	})
}

func updateFlowchart(ctx context.Context, c *call, in updateFlowchartInput) (Flowchart, error) {
	return change(ctx, c, "flowchart.updated", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) (Flowchart, error) {
		err := c.Flowcharts.Update(ctx, tx, in.ID, in.Revision, func(f *store.Fields) {
			if in.Name != nil {
				f.Name = *in.Name
			}
			if in.Description != nil {
				f.Description = *in.Description
			}
		})
		if err != nil {
			return Flowchart{}, err
		}
		return c.flowchart(ctx, tx, in.ID)
	})
}

func deleteFlowchart(ctx context.Context, c *call, in deleteFlowchartInput) (Flowchart, error) {
	return change(ctx, c, "flowchart.deleted", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) (Flowchart, error) {
		if err := c.Flowcharts.SetDeleted(ctx, tx, in.ID, in.Revision, true); err != nil {
			return Flowchart{}, err
		}
		return c.flowchart(ctx, tx, in.ID)
	})
}
