package httpapi_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

// mcpStub stands for the MCP server, which checks keys and origins itself.
type mcpStub struct{}

func (mcpStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Seen", r.Method+" "+r.URL.Path+" "+w.Header().Get("X-Request-ID"))
	w.WriteHeader(http.StatusAccepted)
}

func TestMCPEndpointIsReachedAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/api/mcp", "/api/mcp/"} {
		a := b.do(t, http.MethodPost, path, map[string]any{}, header{"Origin", "https://elsewhere.example"}, header{"X-Request-ID", "r-1"})
		require.Equal(t, http.StatusAccepted, a.status, "its origins are its own business")
		require.Equal(t, "POST "+path+" r-1", a.header.Get("X-Seen"))
	}
	require.Equal(t, http.StatusAccepted, b.do(t, http.MethodDelete, "/api/mcp", nil).status)
	b.do(t, http.MethodPost, "/api/mcp/more", map[string]any{}).problem(t, http.StatusNotFound, "not_found", "request.unknown_path")
}

func TestMCPServerSaysWhereItIs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := b.do(t, http.MethodGet, "/api/studio-mcp", nil, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	require.Equal(t, b.url+"/api/mcp", a.at(t, "url"))
	require.Equal(t, "https://studio.example.com/mcp/llmctl", a.at(t, "public_url"))
	require.Equal(t, "3", a.id(t, "tools"))
}

func TestFlowchartIsPublishedAsATool(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "One"}).id(t, "id")
	other := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "Two"}).id(t, "id")
	tool := "/api/flowcharts/" + id + "/tool"
	a := b.do(t, http.MethodGet, tool, nil, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, a.status)
	require.Nil(t, a.at(t, "tool"), "not published")
	b.do(t, http.MethodGet, "/api/flowcharts/9999/tool", nil, b.as(auth.Viewer)).problem(t, http.StatusNotFound, "not_found", "flow.not_found")
	b.do(t, http.MethodPut, tool, map[string]any{"name": "one"}, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	a = b.admin(t, http.StatusOK, http.MethodPut, tool, map[string]any{"name": "one", "description": "  What it does. "})
	require.Equal(t, "What it does.", a.at(t, "description"))
	require.Equal(t, "30", a.id(t, "wait_seconds"))
	require.Equal(t, true, a.at(t, "enabled"))
	stale := a.header.Get("ETag")
	b.admin(t, http.StatusOK, http.MethodPut, tool, map[string]any{"name": "uno", "enabled": false, "wait_seconds": 0}, header{"If-Match", stale})
	b.admin(t, http.StatusPreconditionFailed, http.MethodPut, tool, map[string]any{"name": "one"}, header{"If-Match", stale}).
		problem(t, http.StatusPreconditionFailed, "precondition", "flow_tool.stale")
	b.admin(t, http.StatusConflict, http.MethodPut, "/api/flowcharts/"+other+"/tool", map[string]any{"name": "uno"}).
		problem(t, http.StatusConflict, "conflict", "flow_tool.name_taken")
	for _, name := range []string{"", "llmctl_run", "Upper", "with-dash", "1st"} {
		b.admin(t, http.StatusUnprocessableEntity, http.MethodPut, tool, map[string]any{"name": name}).problem(t, http.StatusUnprocessableEntity, "invalid", "flow_tool.invalid")
	}
	b.admin(t, http.StatusNoContent, http.MethodDelete, tool, nil)
	b.admin(t, http.StatusNotFound, http.MethodDelete, tool, nil)
	require.Equal(t, []string{
		"config:flowchart_tool:created", "config:flowchart_tool:updated", "config:flowchart_tool:deleted",
	}, b.events(t, "config:flowchart_tool:"+id))
	require.Contains(t, b.audited(t), "flowchart_tool.deleted "+id)
	b.admin(t, http.StatusNoContent, http.MethodDelete, "/api/flowcharts/"+id, nil)
	b.admin(t, http.StatusConflict, http.MethodPut, tool, map[string]any{"name": "one"}).problem(t, http.StatusConflict, "conflict", "flow.deleted")
}
