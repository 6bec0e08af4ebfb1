package server_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/postgres"
)

var update = flag.Bool("update", false, "write golden files")

// TestToolsAreAsDocumented keeps what models are told readable in one file.
func TestToolsAreAsDocumented(t *testing.T) {
	t.Parallel()
	r := setup(t)
	all := tools(t, r.as(t, auth.Admin))
	got := ""
	for _, tool := range all {
		require.True(t, strings.HasPrefix(tool.Name, publish.ReservedPrefix))
		require.Greater(t, len(tool.Description), 20, tool.Name)
		compiled(t, tool.InputSchema)
		compiled(t, tool.OutputSchema)
		input, _ := tool.InputSchema.(map[string]any)
		require.Equal(t, "object", input["type"], tool.Name)
		require.Equal(t, false, input["additionalProperties"], "%s: an unknown argument must be an error", tool.Name)
		require.NotNil(t, tool.Annotations)
		got += encode(t, tool) + "\n"
	}
	file := filepath.Join("testdata", "tools.jsonl")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o750))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -update")
	require.Equal(t, string(want), got, "run the test with -update, and look at the difference")
}

func TestFlowchartIsDrawnRunAndChanged(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	made := ok(t, s, "llmctl_create_flowchart", m{"name": "Echo", "description": "gives back", "graph": echo()})
	id := made.id(t, "id")
	ran := ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": "hello"}, "wait_seconds": 5})
	require.Equal(t, true, ran.body["finished"])
	require.Equal(t, m{"text": "hello"}, ran.body["output"])
	got := ok(t, s, "llmctl_get_flowchart_run", m{"id": ran.id(t, "run_id")})
	require.Len(t, got.body["node_runs"], 2)
	graph := ok(t, s, "llmctl_get_flowchart_graph", m{"id": id})
	require.Equal(t, true, graph.body["valid"])
	saved := ok(t, s, "llmctl_update_flowchart_graph", m{"id": id, "revision": graph.id(t, "revision"), "graph": slow()})
	require.InDelta(t, 2, saved.body["version"], 0)
	stale := call(t, s, "llmctl_update_flowchart_graph", m{"id": id, "revision": graph.id(t, "revision"), "graph": echo()})
	require.Equal(t, "flow.stale", stale.reason(t))
	require.Contains(t, stale.text(t), "Next: read it again")
	renamed := ok(t, s, "llmctl_update_flowchart", m{"id": id, "name": "Echo 2"})
	require.Equal(t, "Echo 2", renamed.body["name"])
	require.Equal(t, "gives back", renamed.body["description"])
	deleted := ok(t, s, "llmctl_delete_flowchart", m{"id": id})
	require.Equal(t, true, deleted.body["deleted"])
	require.Equal(t, "flow.not_found", call(t, s, "llmctl_run_flowchart", m{"id": id}).reason(t))
}

func TestWhatIsDoneIsAudited(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Echo", "graph": echo()}).id(t, "id")
	ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": "x"}})
	rows, err := r.domains.Auth.ListAudit(t.Context(), auth.AuditFilter{Limit: 10, EntityKind: "flowchart_run"})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "run.started", rows[0].Action)
	require.Equal(t, "editor@example.com", rows[0].Email)
	require.NotEmpty(t, rows[0].RequestID)
	require.JSONEq(t, `{"via":"mcp","tool":"llmctl_run_flowchart"}`, string(rows[0].Detail))
}

func TestViewerSeesAndDoesNotRun(t *testing.T) {
	t.Parallel()
	r := setup(t)
	id := ok(t, r.as(t, auth.Editor), "llmctl_create_flowchart", m{"name": "Echo", "graph": echo()}).id(t, "id")
	s := r.as(t, auth.Viewer)
	ok(t, s, "llmctl_get_flowchart", m{"id": id})
	for _, tool := range tools(t, s) {
		require.True(t, tool.Annotations.ReadOnlyHint, "%s is offered to a viewer", tool.Name)
	}
	for _, name := range []string{"llmctl_run_flowchart", "llmctl_delete_flowchart", "llmctl_cancel_flowchart_run"} {
		require.Equal(t, "auth.forbidden", call(t, s, name, m{"id": id}).reason(t), name)
	}
}

func TestSameKeyIsDoneOnce(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	arguments := m{"name": "Echo", "graph": echo(), "idempotency_key": "k1"}
	first := ok(t, s, "llmctl_create_flowchart", arguments)
	require.Equal(t, first.body, ok(t, s, "llmctl_create_flowchart", arguments).body)
	arguments["name"] = "Another"
	require.Equal(t, "idempotency.mismatch", call(t, s, "llmctl_create_flowchart", arguments).reason(t))
	id := first.id(t, "id")
	runs := m{"id": id, "input": m{"text": "x"}, "idempotency_key": "k2"}
	ran := ok(t, s, "llmctl_run_flowchart", runs).id(t, "run_id")
	require.Equal(t, ran, ok(t, s, "llmctl_run_flowchart", runs).id(t, "run_id"))
}

func TestWrongArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	for name, c := range map[string]struct {
		tool      string
		arguments any
		says      []string
	}{
		"missing": {"llmctl_get_flowchart", m{}, []string{"id"}},
		"type":    {"llmctl_get_flowchart", m{"id": "seven"}, []string{"arguments.id: ", "want integer"}},
		"range":   {"llmctl_get_flowchart", m{"id": 0}, []string{"arguments.id: ", "minimum"}},
		"unknown": {"llmctl_get_flowchart", m{"id": 1, "verbose": true}, []string{"verbose"}},
		"limit":   {"llmctl_list_flowcharts", m{"limit": 41}, []string{"arguments.limit: ", "40"}},
		"cursor":  {"llmctl_list_flowcharts", m{"cursor": "zzz"}, []string{"arguments.cursor: "}},
		"enum":    {"llmctl_list_flowchart_runs", m{"status": []string{"ok"}}, []string{"arguments.status.0: ", "succeeded"}},
		"graph":   {"llmctl_create_flowchart", m{"name": "x", "graph": m{"nodes": []m{{"id": "a", "kind": "nope"}}, "edges": []m{}}}, []string{"nope"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := call(t, s, c.tool, c.arguments)
			require.True(t, res.IsError)
			for _, part := range c.says {
				require.Contains(t, res.text(t), part)
			}
		})
	}
}

func TestListsArePagedAndBounded(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	for i := range 5 {
		ok(t, s, "llmctl_create_flowchart", m{"name": "F" + strconv.Itoa(i)})
	}
	var names []any
	arguments := m{}
	for {
		page := ok(t, s, "llmctl_list_flowcharts", arguments)
		items, _ := page.body["items"].([]any)
		require.LessOrEqual(t, len(items), 2, "the default limit")
		for _, f := range items {
			names = append(names, f.(m)["name"])
		}
		if page.body["next_cursor"] == nil {
			break
		}
		arguments["cursor"] = page.body["next_cursor"]
	}
	require.Equal(t, []any{"F4", "F3", "F2", "F1", "F0"}, names)
}

func TestPublishedFlowchartIsATool(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Echo", "graph": echo()}).id(t, "id")
	r.publish(t, id, publish.Fields{Name: "echo_text", Description: "Gives the text back.", Enabled: true, WaitSeconds: 5})
	tool := toolNamed(t, s, "echo_text")
	require.Contains(t, tool.Description, "Gives the text back.")
	require.Equal(t, []any{"text"}, tool.InputSchema.(m)["required"])
	ran := ok(t, s, "echo_text", m{"text": "hi"})
	require.Equal(t, m{"text": "hi"}, ran.body["output"])
	wrong := call(t, s, "echo_text", m{"txt": "hi"})
	require.Equal(t, "flow.invalid_input", wrong.reason(t))
	require.Contains(t, wrong.text(t), "text")
	for range 2 {
		res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: "echo_text", Arguments: m{"text": "once"}, Meta: mcp.Meta{"llmctl/idempotency_key": "k"}})
		require.NoError(t, err)
		require.False(t, res.IsError)
	}
	require.Equal(t, 2, r.count(t, "SELECT count(*) FROM flowchart_run"), "the key held")
	for _, listed := range tools(t, r.as(t, auth.Viewer)) {
		require.NotEqual(t, "echo_text", listed.Name, "a viewer cannot run")
	}
	require.Equal(t, "auth.forbidden", call(t, r.as(t, auth.Viewer), "echo_text", m{"text": "hi"}).reason(t))
	r.publish(t, id, publish.Fields{Name: "echo_text", Enabled: false})
	require.Equal(t, "mcp.unknown_tool", call(t, s, "echo_text", m{"text": "hi"}).reason(t))
}

func TestToolsArePagedOverOwnAndPublished(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	for i := range 60 {
		id := ok(t, s, "llmctl_create_flowchart", m{"name": "F"}).id(t, "id")
		r.publish(t, id, publish.Fields{Name: "flow_" + strconv.Itoa(100+i), Enabled: true})
	}
	all := tools(t, s)
	require.Len(t, all, r.server.Tools()+60)
	seen := map[string]bool{}
	for _, tool := range all {
		require.False(t, seen[tool.Name], tool.Name)
		seen[tool.Name] = true
	}
	first, err := s.ListTools(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, first.Tools, 40, "the rig's MAX_LIMIT")
	_, err = s.ListTools(t.Context(), &mcp.ListToolsParams{Cursor: "rubbish"})
	require.ErrorContains(t, err, "cursor")
}

func (r *rig) publish(t *testing.T, id int64, f publish.Fields) {
	t.Helper()
	require.NoError(t, r.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		_, err := r.domains.Published.Put(ctx, tx, id, 0, f)
		return err
	}))
}

func (r *rig) count(t *testing.T, sql string) int {
	t.Helper()
	var n int
	require.NoError(t, r.db.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func TestWaitEndsWithTheRunAndTellsProgress(t *testing.T) {
	t.Parallel()
	r := setup(t)
	told := make(chan *mcp.ProgressNotificationParams, 64)
	s := connect(t, r.url, r.keys[auth.Editor], &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) { told <- req.Params },
	})
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Slow", "graph": slow()}).id(t, "id")
	at := ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": "x"}})
	require.Equal(t, false, at.body["finished"])
	require.Contains(t, at.body["next"], "llmctl_wait_flowchart_run")
	runID := at.id(t, "run_id")
	began := time.Now()
	waited := make(chan *mcp.CallToolResult, 1)
	go func() {
		params := &mcp.CallToolParams{Name: "llmctl_wait_flowchart_run", Arguments: m{"id": runID, "wait_seconds": 60}, Meta: mcp.Meta{}}
		params.SetProgressToken("p1")
		res, err := s.CallTool(t.Context(), params)
		if err != nil {
			t.Errorf("wait: %v", err)
		}
		waited <- res
	}()
	p := <-told
	require.Contains(t, p.Message, "1 open")
	require.InDelta(t, 60, p.Total, 0)
	ok(t, r.as(t, auth.Editor), "llmctl_cancel_flowchart_run", m{"id": runID})
	res := <-waited
	require.Less(t, time.Since(began), 30*time.Second, "it ended with the run")
	body := res.StructuredContent.(map[string]any)
	require.Equal(t, "cancelled", body["status"])
	require.Equal(t, true, body["finished"])
}

func TestLeavingProcessAnswersWaits(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Slow", "graph": slow()}).id(t, "id")
	go r.server.Leave()
	at := ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": "x"}, "wait_seconds": 300})
	require.Equal(t, false, at.body["finished"])
	require.Equal(t, "queued", at.body["status"])
}

func TestLargeOutputsAreResources(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Editor)
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Echo", "graph": echo()}).id(t, "id")
	large := strings.Repeat("ä", 300<<10)
	ran := ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": large}, "wait_seconds": 5})
	require.Nil(t, ran.body["output"])
	uri, _ := ran.body["output_uri"].(string)
	require.NotEmpty(t, uri)
	link, isLink := ran.Content[1].(*mcp.ResourceLink)
	require.True(t, isLink)
	require.Equal(t, uri, link.URI)
	read, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: uri})
	require.NoError(t, err)
	require.JSONEq(t, encode(t, m{"text": large}), read.Contents[0].Text)
	require.Equal(t, "application/json", read.Contents[0].MIMEType)
	templates, err := s.ListResourceTemplates(t.Context(), nil)
	require.NoError(t, err)
	require.Len(t, templates.ResourceTemplates, 3)
	for _, missing := range []string{"llmctl://artifacts/99", "llmctl://artifacts/x", "llmctl://nowhere/1", "file:///etc/passwd"} {
		_, err := s.ReadResource(t.Context(), &mcp.ReadResourceParams{URI: missing})
		require.Error(t, err, missing)
	}
}

func TestEveryToolAnswersWhatIsNotThere(t *testing.T) {
	t.Parallel()
	r := setup(t)
	s := r.as(t, auth.Admin)
	for _, tool := range tools(t, s) {
		input, _ := tool.InputSchema.(map[string]any)
		required, _ := input["required"].([]any)
		if len(required) != 1 || required[0] != "id" {
			continue
		}
		res := call(t, s, tool.Name, m{"id": 987654})
		require.Contains(t, res.reason(t), "not_found", tool.Name)
		require.Contains(t, res.text(t), "Next: ", tool.Name)
	}
}
