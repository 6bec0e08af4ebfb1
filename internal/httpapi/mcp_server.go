package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// MCPPath is where the MCP server is, below the API prefix.
const MCPPath = "/mcp"

// StudioMCP is the Studio's MCP server and what the page says of it.
type StudioMCP struct {
	Handler       http.Handler
	Tools         int // of its own
	Published     *publish.Store
	PublicBaseURL string // of the one that stands alone; empty: not known
}

// studioMCPInput is the request itself: its address is part of the answer.
type studioMCPInput struct{ request *http.Request }

// Resolve implements huma.Resolver.
func (i *studioMCPInput) Resolve(ctx huma.Context) []error {
	i.request, _ = humaUnwrap(ctx)
	return nil
}

type studioMCPOutput struct {
	Body struct {
		URL       string `json:"url" doc:"The endpoint below the API, as this request came"`
		PublicURL string `json:"public_url" doc:"Of llmctl mcp, seen from outside; empty: not known"`
		Tools     int    `json:"tools" doc:"Tools of its own"`
		Published int64  `json:"published" doc:"Flowcharts that are tools"`
	}
}

type getFlowchartToolOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		Tool *publish.ToolView `json:"tool" doc:"null: it is not published"`
	}
}

type flowchartToolOutput struct {
	ETag string `header:"ETag"`
	Body publish.ToolView
}

type putFlowchartToolInput struct {
	IDInput
	IfMatch string `header:"If-Match"`
	Body    struct {
		Name        string `json:"name" maxLength:"64" doc:"A small letter, then a-z, 0-9 and _; not llmctl_…"`
		Description string `json:"description,omitempty" maxLength:"2000" doc:"Written for a model to read; empty: the flowchart's own"`
		Enabled     *bool  `json:"enabled,omitempty" doc:"Absent: true"`
		WaitSeconds *int32 `json:"wait_seconds,omitempty" minimum:"0" maximum:"300" doc:"How long a call waits for the run's end; absent: 30"`
	}
}

// mountMCP mounts the endpoint. It checks keys and origins itself.
func (s *server) mountMCP() {
	if s.deps.StudioMCP == nil {
		return
	}
	h := s.observed(MCPPath, s.deps.StudioMCP.Handler)
	s.mux.Handle(s.deps.APIPrefix+MCPPath, h)
	s.mux.Handle(s.deps.APIPrefix+MCPPath+"/{$}", h) // as some clients write it
}

// observed measures a handler that is no operation.
func (s *server) observed(path string, h http.Handler) http.Handler {
	if s.deps.Observe == nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, rec := s.deps.Now(), &recorder{ResponseWriter: w}
		h.ServeHTTP(rec, r)
		method := r.Method
		if method != http.MethodPost {
			method = "other" // anybody's word
		}
		s.deps.Observe(method, s.deps.APIPrefix+path, rec.status, s.deps.Now().Sub(began))
	})
}

func (s *server) isMCP(path string) bool {
	return s.deps.StudioMCP != nil && strings.TrimSuffix(path, "/") == s.deps.APIPrefix+MCPPath
}

// registerStudioMCP registers what the page needs of the server.
func (s *server) registerStudioMCP() {
	handle(s, route{
		method: http.MethodGet, path: "/studio-mcp", id: "get-studio-mcp", tag: "mcp", permission: auth.Read,
		summary: "The Studio's own MCP server: where it is and what it offers",
	}, s.studioMCP)
	handle(s, route{
		method: http.MethodGet, path: "/flowcharts/{id}/tool", id: "get-flowchart-tool", tag: "mcp", permission: auth.Read,
		summary: "How a flowchart is published as an MCP tool, if it is",
	}, s.flowchartTool)
	handle(s, route{
		method: http.MethodPut, path: "/flowcharts/{id}/tool", id: "put-flowchart-tool", tag: "mcp", permission: auth.Write, audit: true,
		summary: "Publish a flowchart as an MCP tool, or change how",
	}, s.putFlowchartTool)
	handle(s, route{
		method: http.MethodDelete, path: "/flowcharts/{id}/tool", id: "delete-flowchart-tool", tag: "mcp", permission: auth.Write, audit: true,
		summary: "Take a flowchart back from the MCP tools", status: http.StatusNoContent,
	}, func(ctx context.Context, in *IDInput) (*struct{}, error) {
		return drop(ctx, s, "flowchart_tool.deleted", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) error {
			return s.deps.StudioMCP.Published.Delete(ctx, tx, in.ID)
		})
	})
}

// flowchartTool answers that there is none as well: the editor asks for each flowchart.
func (s *server) flowchartTool(ctx context.Context, in *IDInput) (*getFlowchartToolOutput, error) {
	if _, err := s.deps.Flowcharts.Get(ctx, in.ID); err != nil {
		return nil, err
	}
	t, err := s.deps.StudioMCP.Published.Get(ctx, s.deps.DB, in.ID)
	out := &getFlowchartToolOutput{}
	if errs.Is(err, errs.NotFound) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	view := publish.ViewOf(&t)
	out.ETag, out.Body.Tool = etag(t.Revision), &view
	return out, nil
}

func toolOut(t *publish.Tool) *flowchartToolOutput {
	return &flowchartToolOutput{ETag: etag(t.Revision), Body: publish.ViewOf(t)}
}

func (s *server) studioMCP(ctx context.Context, in *studioMCPInput) (*studioMCPOutput, error) {
	n, err := s.deps.StudioMCP.Published.Count(ctx)
	if err != nil {
		return nil, err
	}
	out := &studioMCPOutput{}
	out.Body.Tools, out.Body.Published = s.deps.StudioMCP.Tools, n
	out.Body.URL = proxyfix.From(in.request).URL(s.deps.APIPrefix + MCPPath)
	if base := strings.TrimSuffix(s.deps.StudioMCP.PublicBaseURL, "/"); base != "" {
		out.Body.PublicURL = base + "/mcp/llmctl"
	}
	return out, nil
}

func (s *server) putFlowchartTool(ctx context.Context, in *putFlowchartToolInput) (*flowchartToolOutput, error) {
	revision, err := ifMatch(in.IfMatch)
	if err != nil {
		return nil, err
	}
	f := publish.Fields{Name: in.Body.Name, Description: in.Body.Description, Enabled: true, WaitSeconds: 30}
	if in.Body.Enabled != nil {
		f.Enabled = *in.Body.Enabled
	}
	if in.Body.WaitSeconds != nil {
		f.WaitSeconds = *in.Body.WaitSeconds
	}
	return change(ctx, s, "flowchart_tool.saved", "flowchart", in.ID, func(ctx context.Context, tx *postgres.Tx) (*flowchartToolOutput, error) {
		t, err := s.deps.StudioMCP.Published.Put(ctx, tx, in.ID, revision, f)
		if err != nil {
			return nil, err
		}
		return toolOut(&t), nil
	})
}
