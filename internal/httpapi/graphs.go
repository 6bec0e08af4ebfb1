package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/flowchart"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/postgres"
)

// GraphBody is a graph as clients send it. What a client got with GET it may send
// back; members that are not the graph's are ignored.
type GraphBody struct {
	_     struct{}                       `json:"-" additionalProperties:"true"`
	Nodes documentedList[graphNodeInput] `json:"nodes"`
	Edges documentedList[graphEdgeInput] `json:"edges"`
}

// graph checks what was sent.
func (b GraphBody) graph() (*flowchart.Graph, error) {
	raw, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode graph: %w", err)
	}
	return flowchart.Parse(raw)
}

type validationView struct {
	Valid  bool                `json:"valid"`
	Errors []flowchart.Finding `json:"errors"`
}

type graphView struct {
	FlowchartID int64                   `json:"flowchart_id"`
	Version     int32                   `json:"version"`
	Nodes       []documented[graphNode] `json:"nodes"`
	Edges       []documented[graphEdge] `json:"edges"`
	Validation  validationView          `json:"validation"`
	CreatedAt   time.Time               `json:"created_at"`
}

func viewVersion(v store.Version) (graphView, error) {
	out := graphView{FlowchartID: v.FlowchartID, Version: v.Number, CreatedAt: v.CreatedAt}
	if err := json.Unmarshal(v.Graph, &out); err != nil {
		return out, fmt.Errorf("read graph of version %d: %w", v.ID, err)
	}
	if err := json.Unmarshal(v.Findings, &out.Validation.Errors); err != nil {
		return out, fmt.Errorf("read findings of version %d: %w", v.ID, err)
	}
	if out.Edges == nil {
		out.Edges = []documented[graphEdge]{}
	}
	out.Validation.Valid = len(out.Validation.Errors) == 0
	return out, nil
}

type graphOutput struct {
	ETag string `header:"ETag"`
	Body graphView
}

type putGraphInput struct {
	IDInput
	IdempotencyKey string `header:"Idempotency-Key"`
	IfMatch        string `header:"If-Match"`
	Body           GraphBody
}

type validateInput struct {
	IDInput
	Body GraphBody
}

type validateOutput struct{ Body validationView }

type versionItemView struct {
	Number       int32     `json:"number"`
	NodeCount    int32     `json:"node_count"`
	FindingCount int32     `json:"finding_count"`
	CreatedAt    time.Time `json:"created_at"`
}

type listVersionsInput struct {
	IDInput
	PageInput
}

type getVersionInput struct {
	IDInput
	Number int32 `path:"number" minimum:"1"`
}

func (s *server) registerGraphs() {
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts/{id}/graph", id: "get-graph", tag: "flowcharts", permission: auth.Read,
		summary: "The current graph and what is wrong with it",
	}, func(ctx context.Context, in *IDInput) (*graphOutput, error) {
		f, err := s.deps.Flowcharts.Get(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		return s.version(ctx, in.ID, f.Flowchart.Version, f.Flowchart.Revision)
	})
	handle(s, route{
		method: http.MethodPut, path: "/flowcharts/{id}/graph", id: "put-graph", tag: "flowcharts", permission: auth.Write, audit: true, idempotent: true,
		summary: "Save the graph as a new version; what only keeps it from running is stored with it", body: maxGraphBody,
	}, s.putGraph)
	handle(s, route{
		method: http.MethodPost, path: "/flowcharts/{id}/validate", id: "validate-graph", tag: "flowcharts", permission: auth.Read,
		summary: "Check a graph without saving it", body: maxGraphBody,
	}, func(ctx context.Context, in *validateInput) (*validateOutput, error) {
		if _, err := s.deps.Flowcharts.Get(ctx, in.ID); err != nil {
			return nil, err
		}
		g, err := in.Body.graph()
		if err != nil {
			return nil, err
		}
		found, err := s.deps.Flowcharts.Validate(ctx, g)
		if err != nil {
			return nil, err
		}
		return &validateOutput{Body: validationView{Valid: len(found) == 0, Errors: found}}, nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts/{id}/versions", id: "list-versions", tag: "flowcharts", permission: auth.Read,
		summary: "Versions, newest first",
	}, func(ctx context.Context, in *listVersionsInput) (*pageOutput[versionItemView], error) {
		before, err := in.before()
		if err != nil {
			return nil, err
		}
		rows, err := s.deps.Flowcharts.Versions(ctx, in.ID, int32(min(before, math.MaxInt32)), in.Limit+1)
		if err != nil {
			return nil, err
		}
		return paged(rows, in.Limit, func(v store.VersionItem) int64 { return int64(v.Number) }, func(v store.VersionItem) versionItemView {
			return versionItemView{Number: v.Number, NodeCount: v.NodeCount, FindingCount: v.FindingCount, CreatedAt: v.CreatedAt}
		}), nil
	})
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts/{id}/versions/{number}", id: "get-version", tag: "flowcharts", permission: auth.Read,
		summary: "One version; it never changes",
	}, func(ctx context.Context, in *getVersionInput) (*graphOutput, error) {
		return s.version(ctx, in.ID, in.Number, int64(in.Number))
	})
}

func (s *server) version(ctx context.Context, id int64, number int32, revision int64) (*graphOutput, error) {
	v, err := s.deps.Flowcharts.Version(ctx, id, number)
	if err != nil {
		return nil, err
	}
	return graphOut(v, revision)
}

func graphOut(v store.Version, revision int64) (*graphOutput, error) {
	view, err := viewVersion(v)
	if err != nil {
		return nil, err
	}
	return &graphOutput{ETag: etag(revision), Body: view}, nil
}

func (s *server) putGraph(ctx context.Context, in *putGraphInput) (*graphOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	g, err := in.Body.graph()
	if err != nil {
		return nil, err
	}
	request := []any{in.ID, revision, in.Body}
	return idempotent(ctx, s, "put-graph", in.IdempotencyKey, request, func(ctx context.Context, tx *postgres.Tx) (*graphOutput, error) {
		by := user(ctx).UserID
		// The revision comes from the save itself: read afterwards, it could be that
		// of somebody else's save, which the client has not seen.
		v, saved, err := s.deps.Flowcharts.SaveGraph(ctx, tx, in.ID, revision, g, &by)
		if err != nil {
			return nil, err
		}
		if err := s.audit(ctx, tx, "flowchart.saved", "flowchart", in.ID); err != nil {
			return nil, err
		}
		return graphOut(v, saved)
	})
}
