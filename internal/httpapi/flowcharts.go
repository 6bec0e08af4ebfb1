package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
)

type lastRunView struct {
	ID        int64     `json:"id"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
}

type flowchartView struct {
	ID                int64                 `json:"id"`
	Name              string                `json:"name"`
	Description       string                `json:"description"`
	Version           int32                 `json:"version"`
	MaxNodeExecutions *int32                `json:"max_node_executions"`
	MaxRuntimeMinutes *int32                `json:"max_runtime_minutes"`
	MaxParallelNodes  *int32                `json:"max_parallel_nodes"`
	NodeCount         int32                 `json:"node_count"`
	LastRun           optional[lastRunView] `json:"last_run"`
	CreatedAt         time.Time             `json:"created_at"`
	UpdatedAt         time.Time             `json:"updated_at"`
	DeletedAt         *time.Time            `json:"deleted_at"`
}

func viewFlowchart(f store.Flowchart) flowchartView {
	row := f.Flowchart
	v := flowchartView{
		ID: row.ID, Name: row.Name, Description: row.Description, Version: row.Version,
		MaxNodeExecutions: row.MaxNodeExecutions, MaxRuntimeMinutes: row.MaxRuntimeMinutes, MaxParallelNodes: row.MaxParallelNodes,
		NodeCount: f.NodeCount, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt, DeletedAt: row.DeletedAt,
	}
	if f.LastRunID != 0 {
		v.LastRun.Value = &lastRunView{ID: f.LastRunID, Status: f.LastRunStatus, CreatedAt: f.LastRunAt}
	}
	return v
}

// optional tells an absent member from one that is null.
type optional[T any] struct {
	Set   bool
	Value *T
}

// UnmarshalJSON notes that the member was there.
func (o *optional[T]) UnmarshalJSON(raw []byte) error {
	o.Set = true
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return json.Unmarshal(raw, &o.Value)
}

// MarshalJSON writes the value.
func (o optional[T]) MarshalJSON() ([]byte, error) { return json.Marshal(o.Value) }

// Schema implements huma.SchemaProvider: a nullable T.
func (o optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[T]())
	s.Nullable = true
	return s
}

type createFlowchartInput struct {
	IdempotencyKey string `header:"Idempotency-Key"`
	Body           struct {
		Name              string                 `json:"name" minLength:"1" maxLength:"200"`
		Description       string                 `json:"description,omitempty" maxLength:"2000"`
		MaxNodeExecutions *int32                 `json:"max_node_executions,omitempty" minimum:"1" maximum:"10000"`
		MaxRuntimeMinutes *int32                 `json:"max_runtime_minutes,omitempty" minimum:"1" maximum:"100000"`
		MaxParallelNodes  *int32                 `json:"max_parallel_nodes,omitempty" minimum:"1" maximum:"1000"`
		Graph             *documented[GraphBody] `json:"graph,omitempty" doc:"Without it the flowchart has a start node only"`
	}
}

type updateFlowchartInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name              *string         `json:"name,omitempty" minLength:"1" maxLength:"200"`
		Description       *string         `json:"description,omitempty" maxLength:"2000"`
		MaxNodeExecutions optional[int32] `json:"max_node_executions,omitzero"`
		MaxRuntimeMinutes optional[int32] `json:"max_runtime_minutes,omitzero"`
		MaxParallelNodes  optional[int32] `json:"max_parallel_nodes,omitzero"`
	}
}

type deleteFlowchartInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
}

type flowchartOutput struct {
	ETag string `header:"ETag"`
	Body flowchartView
}

type listFlowchartsInput struct {
	PageInput
	Q string `query:"q" maxLength:"200" doc:"Part of the name or description"`
}

func (s *server) registerFlowcharts() {
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts", id: "list-flowcharts", tag: "flowcharts", permission: auth.Read, summary: "Flowcharts",
	}, func(ctx context.Context, in *listFlowchartsInput) (*pageOutput[flowchartView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Flowcharts.List(ctx, in.Q, before, in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(f store.Flowchart) int64 { return f.Flowchart.ID }, viewFlowchart), nil
	})
	handle(s, route{
		method: http.MethodPost, path: "/flowcharts", id: "create-flowchart", tag: "flowcharts", permission: auth.Write,
		audit: true, idempotent: true, summary: "Create a flowchart", status: http.StatusCreated, body: maxGraphBody,
	}, s.createFlowchart)
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts/{id}", id: "get-flowchart", tag: "flowcharts", permission: auth.Read, summary: "A flowchart",
	}, func(ctx context.Context, in *IDInput) (*flowchartOutput, error) {
		return s.flowchart(ctx, s.deps.DB, in.ID)
	})
	handle(s, route{
		method: http.MethodPatch, path: "/flowcharts/{id}", id: "update-flowchart", tag: "flowcharts", permission: auth.Write,
		audit: true, summary: "Change a flowchart's name, description or limits",
	}, s.updateFlowchart)
	handle(s, route{
		method: http.MethodDelete, path: "/flowcharts/{id}", id: "delete-flowchart", tag: "flowcharts", permission: auth.Write,
		audit: true, summary: "Delete a flowchart; its runs stay, and it can be restored", status: http.StatusNoContent,
	}, func(ctx context.Context, in *deleteFlowchartInput) (*struct{}, error) {
		revision, err := ifMatch(in.IfMatch)
		if err != nil {
			return nil, err
		}
		return drop(ctx, s, "flowchart.deleted", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.Flowcharts.SetDeleted(ctx, tx, in.ID, revision, true)
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/flowcharts/{id}/restore", id: "restore-flowchart", tag: "flowcharts", permission: auth.Write,
		audit: true, summary: "Take a deletion back",
	}, func(ctx context.Context, in *IDInput) (*flowchartOutput, error) {
		return change(ctx, s, "flowchart.restored", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) (*flowchartOutput, error) {
			if err := s.deps.Flowcharts.SetDeleted(ctx, tx, in.ID, 0, false); err != nil {
				return nil, err
			}
			return s.flowchart(ctx, tx, in.ID)
		})
	})
	handle(s, route{
		method: http.MethodPost, path: "/flowcharts/{id}/duplicate", id: "duplicate-flowchart", tag: "flowcharts", permission: auth.Write,
		audit: true, idempotent: true, summary: "Copy a flowchart with its current graph", status: http.StatusCreated,
	}, s.duplicateFlowchart)
}

func (s *server) flowchart(ctx context.Context, q postgres.Querier, id int64) (*flowchartOutput, error) {
	f, err := s.deps.Flowcharts.GetIn(ctx, q, id)
	if err != nil {
		return nil, err
	}
	return &flowchartOutput{ETag: etag(f.Flowchart.Revision), Body: viewFlowchart(f)}, nil
}

func (s *server) createFlowchart(ctx context.Context, in *createFlowchartInput) (*flowchartOutput, error) {
	var g *flowchart.Graph
	if in.Body.Graph != nil {
		var err error
		if g, err = flowchart.Parse(in.Body.Graph.RawMessage); err != nil {
			return nil, err
		}
	}
	b := in.Body
	f := store.Fields{
		Name: b.Name, Description: b.Description, MaxNodeExecutions: b.MaxNodeExecutions,
		MaxRuntimeMinutes: b.MaxRuntimeMinutes, MaxParallelNodes: b.MaxParallelNodes,
	}
	return s.insertFlowchart(ctx, "create-flowchart", in.IdempotencyKey, b, f, g)
}

func (s *server) insertFlowchart(ctx context.Context, op, key string, request any, f store.Fields, g *flowchart.Graph) (*flowchartOutput, error) {
	return idempotent(ctx, s, op, key, request, func(ctx context.Context, tx *postgres.Tx) (*flowchartOutput, error) {
		by := user(ctx).UserID
		id, err := s.deps.Flowcharts.Create(ctx, tx, f, g, &by)
		if err != nil {
			return nil, err
		}
		if err := s.audit(ctx, tx, "flowchart.created", "flowchart", id); err != nil {
			return nil, err
		}
		return s.flowchart(ctx, tx, id)
	})
}

func (s *server) updateFlowchart(ctx context.Context, in *updateFlowchartInput) (*flowchartOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	b := in.Body
	limits := []struct {
		name string
		o    optional[int32]
		most int32
	}{{"max_node_executions", b.MaxNodeExecutions, 10000}, {"max_runtime_minutes", b.MaxRuntimeMinutes, 100000}, {"max_parallel_nodes", b.MaxParallelNodes, 1000}}
	for _, l := range limits {
		if v := l.o.Value; v != nil && (*v < 1 || *v > l.most) {
			return nil, errs.E(errs.Invalid, "flow.invalid_limit", "A limit cannot be used.",
				errs.Detail{Location: "body." + l.name, Message: "is out of range; null means no limit"})
		}
	}
	return change(ctx, s, "flowchart.updated", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) (*flowchartOutput, error) {
		if err := s.deps.Flowcharts.Update(ctx, tx, in.ID, revision, in.apply); err != nil {
			return nil, err
		}
		return s.flowchart(ctx, tx, in.ID)
	})
}

// apply sets what the request has.
func (in *updateFlowchartInput) apply(f *store.Fields) {
	b := in.Body
	if b.Name != nil {
		f.Name = *b.Name
	}
	if b.Description != nil {
		f.Description = *b.Description
	}
	for _, limit := range []struct {
		given optional[int32]
		to    **int32
	}{{b.MaxNodeExecutions, &f.MaxNodeExecutions}, {b.MaxRuntimeMinutes, &f.MaxRuntimeMinutes}, {b.MaxParallelNodes, &f.MaxParallelNodes}} {
		if limit.given.Set {
			*limit.to = limit.given.Value
		}
	}
}

type duplicateInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
}

func (s *server) duplicateFlowchart(ctx context.Context, in *duplicateInput) (*flowchartOutput, error) {
	old, err := s.deps.Flowcharts.Get(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	v, err := s.deps.Flowcharts.Version(ctx, in.ID, 0)
	if err != nil {
		return nil, err
	}
	g, err := flowchart.Parse(v.Graph)
	if err != nil {
		return nil, err
	}
	row := old.Flowchart
	return s.insertFlowchart(ctx, "duplicate-flowchart", in.IdempotencyKey, in.ID, store.Fields{
		Name: copyName(row.Name), Description: row.Description, MaxNodeExecutions: row.MaxNodeExecutions,
		MaxRuntimeMinutes: row.MaxRuntimeMinutes, MaxParallelNodes: row.MaxParallelNodes,
	}, g)
}

// copyName keeps to the limit that names have.
func copyName(name string) string {
	const longest = 200
	r := []rune("Copy of " + name)
	return string(r[:min(len(r), longest)])
}
