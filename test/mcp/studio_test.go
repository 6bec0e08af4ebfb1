package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/freeport"
	"github.com/llmctl/studio/internal/testkit/llmtest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/proctest"
)

const (
	email, password = "admin@example.com", "correct horse battery"
	patience        = time.Minute
)

// studio is a running `llmctl up`.
type studio struct {
	t            *testing.T
	args, env    []string
	url, session string
	p            *proctest.Process
	model        int64
}

func newStudio(t *testing.T, kind string, llm *llmtest.Server) *studio {
	t.Helper()
	s := &studio{t: t, url: "http://127.0.0.1:" + freeport.Get(t)}
	s.args = []string{"up", "--no-browser", "--data-dir", t.TempDir(), "--database-uri", pgtest.URI(t), "--bind", strings.TrimPrefix(s.url, "http://")}
	s.env = []string{"LLMCTL_STUDIO_ADMIN_EMAIL=" + email, "LLMCTL_STUDIO_ADMIN_PASSWORD=" + password, "LLMCTL_STUDIO_INTERNAL_BIND=off"}
	s.start()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/auth/login", strings.NewReader(fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	res, err := browser().Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	s.session, _, _ = strings.Cut(res.Header.Get("Set-Cookie"), ";")
	provider := s.do(http.StatusCreated, "POST", "/api/providers", map[string]any{"name": "scripted", "kind": kind, "base_url": llm.BaseURL(kind), "api_key": "sk-test-123456"})
	s.model = id(s.do(http.StatusCreated, "POST", "/api/models", map[string]any{"name": "m", "provider_id": provider["id"], "model": "scripted-model"}))
	return s
}

func (s *studio) start() {
	s.t.Helper()
	s.p = proctest.Start(s.t, "../..", s.args, s.env)
	s.p.AwaitLog("ready: ", patience)
}

func (s *studio) kill() {
	s.t.Helper()
	s.p.Signal(syscall.SIGKILL)
	s.p.Wait(patience)
}

type object = map[string]any

func browser() *http.Client { return &http.Client{Timeout: patience} }

func (s *studio) do(status int, method, path string, body any) object {
	s.t.Helper()
	raw, err := json.Marshal(body)
	require.NoError(s.t, err)
	if body == nil {
		raw = nil
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(raw))
	require.NoError(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Cookie", s.session)
	res, err := browser().Do(req)
	require.NoError(s.t, err)
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, status, res.StatusCode, "%s %s: %s", method, path, answer)
	var out object
	if len(answer) > 0 {
		require.NoError(s.t, json.Unmarshal(answer, &out))
	}
	return out
}

func id(o object) int64 {
	n, _ := o["id"].(float64)
	return int64(n)
}

func items(o object) []object {
	list, _ := o["items"].([]any)
	var out []object
	for _, i := range list {
		m, _ := i.(object)
		out = append(out, m)
	}
	return out
}

// mcpServer adds a server and gives its id.
func (s *studio) mcpServer(key string, config, more object) int64 {
	s.t.Helper()
	body := object{"server_key": key, "config": config}
	maps.Copy(body, more)
	return id(s.do(http.StatusCreated, "POST", "/api/mcp-servers", body))
}

// run starts a flowchart of one task and gives the run's id.
func (s *studio) run(task object) int64 {
	s.t.Helper()
	task["model_id"] = s.model
	chart := id(s.do(http.StatusCreated, "POST", "/api/flowcharts", object{"name": "tools"}))
	s.do(http.StatusOK, "PUT", fmt.Sprintf("/api/flowcharts/%d/graph", chart), object{
		"nodes": []object{
			{"id": "start", "kind": "start", "title": "Start", "position": object{"x": 0, "y": 0}, "config": object{}},
			{"id": "ask", "kind": "task", "title": "Ask", "position": object{"x": 0, "y": 0}, "config": task},
			{"id": "end", "kind": "end", "title": "End", "position": object{"x": 0, "y": 0}, "config": object{}},
		},
		"edges": []object{{"id": "e1", "source": "start", "target": "ask", "mode": "solid"}, {"id": "e2", "source": "ask", "target": "end", "mode": "solid"}},
	})
	started, _ := s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/flowcharts/%d/runs", chart), object{"input": object{}})["flowchart_run"].(object)
	return id(started)
}

func (s *studio) get(run int64) (flowchartRun, ask object) {
	s.t.Helper()
	d := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/flowchart-runs/%d", run), nil)
	flowchartRun, _ = d["flowchart_run"].(object)
	nodes, _ := d["node_runs"].([]any)
	for _, n := range nodes {
		if m, _ := n.(object); m["flowchart_node_id"] == "ask" {
			ask = m
		}
	}
	return flowchartRun, ask
}

// until waits for the node to be in a state.
func (s *studio) until(run int64, status string) object {
	s.t.Helper()
	var ask object
	require.Eventually(s.t, func() bool {
		_, ask = s.get(run)
		return ask["status"] == status
	}, patience, 20*time.Millisecond, "the node is %v: %v", ask["status"], ask["error"])
	return ask
}

// ended waits for the end of a run.
func (s *studio) ended(run int64, status string) object {
	s.t.Helper()
	var r object
	require.Eventually(s.t, func() bool {
		r, _ = s.get(run)
		return r["finished_at"] != nil
	}, patience, 20*time.Millisecond)
	require.Equal(s.t, status, r["status"], "%v", r["error"])
	return r
}

func (s *studio) calls(node object) []object {
	s.t.Helper()
	return items(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/tool-calls?owner_kind=node_run&owner_id=%d", id(node)), nil))
}

func note(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777)) // the program runs as somebody else
	return filepath.Join(dir, "note")
}

func lines(t *testing.T, path string) int {
	t.Helper()
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(raw), "\n")
}

func TestATaskUsesTheToolsOfServersOverEachTransport(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"openai", "anthropic", "gemini"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			web, events, stdio := startServer(t, "http", 0), startServer(t, "sse", 0), program(t, nil)
			llm := llmtest.New(t)
			llm.On("", llmtest.Reply{Text: "Asking.", Input: 10, Output: 2, ToolCalls: []llmtest.ToolCall{
				{ID: "a", Name: "web__echo", Arguments: `{"text":"one"}`},
				{ID: "b", Name: "events__add", Arguments: `{"a":20,"b":22}`},
				{ID: "c", Name: "local__environment", Arguments: `{}`},
				{ID: "d", Name: "current_time", Arguments: `{"time_zone":"UTC"}`},
				{ID: "e", Name: "web__add", Arguments: `{"a":"x"}`},
			}}, llmtest.Reply{Text: "Forty-two.", Input: 20, Output: 3})
			s := newStudio(t, kind, llm)
			ids := []int64{
				s.mcpServer("web", object{"url": web.spec().URL}, nil), s.mcpServer("events", object{"url": events.spec().URL, "transport": "sse"}, nil),
				s.mcpServer("local", object{"command": stdio.Command, "args": stdio.Args}, nil),
			}
			test := s.do(http.StatusOK, "POST", fmt.Sprintf("/api/mcp-servers/%d/test", ids[2]), nil)
			require.Equal(t, true, test["ok"], "%v", test)
			offered := items(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/mcp-servers/%d/tools", ids[0]), nil))
			require.Equal(t, "web__echo", offered[0]["model_name"])

			run := s.run(object{"prompt": "What is it?", "mcp_server_ids": ids, "tools": []string{"current_time"}})
			r := s.ended(run, "succeeded")
			out, _ := r["output"].(object)
			require.Equal(t, "Forty-two.", out["text"])
			require.Equal(t, object{"input_tokens": 30.0, "output_tokens": 5.0}, out["usage"])
			requests := llm.Requests()
			require.Len(t, requests, 2, "the scripted server refuses what the provider would")
			results := requests[1].Results
			require.Len(t, results, 5)
			require.Equal(t, "echo: one", results[0].Content)
			require.Equal(t, "42", results[1].Content)
			require.NotContains(t, results[2].Content, "LLMCTL_", "programs see nothing of the worker")
			require.Contains(t, results[3].Content, "(UTC)")
			require.Contains(t, results[4].Content, "do not satisfy the tool's schema")

			_, ask := s.get(run)
			calls := s.calls(ask)
			require.Len(t, calls, 5)
			require.Equal(t, "failed", calls[0]["status"], "newest first")
			require.Equal(t, "invalid_arguments", calls[0]["error"])
			require.Equal(t, "web", calls[4]["server_key"])
			require.NotNil(t, calls[4]["duration_ms"])
			if os.Geteuid() == 0 {
				require.NotContains(t, results[2].Content, `"uid":0`)
			}
			stream := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/events?stream=flowchart_run:%d&limit=200", run), nil)
			raw, err := json.Marshal(stream)
			require.NoError(t, err)
			require.Equal(t, 13, strings.Count(string(raw), `"event_type":"node:task:tool"`), "four calls of three steps, and one that was not made")
		})
	}
}

func TestACallWaitsForAPersonAndANewProcessGoesOn(t *testing.T) {
	t.Parallel()
	web, path := startServer(t, "http", 0), note(t)
	llm := llmtest.New(t)
	record := func(id, line string) llmtest.ToolCall {
		return llmtest.ToolCall{ID: id, Name: "web__record", Arguments: fmt.Sprintf(`{"path":%q,"line":%q}`, path, line)}
	}
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{record("a", "first"), record("b", "second"), {ID: "c", Name: "web__echo", Arguments: `{"text":"x"}`}}},
		llmtest.Reply{Text: "Written."})
	s := newStudio(t, "openai", llm)
	server := s.mcpServer("web", object{"url": web.spec().URL}, object{"approval": "writes"})
	run := s.run(object{"prompt": "Write.", "mcp_server_ids": []int64{server}})
	s.until(run, "waiting")
	open := items(s.do(http.StatusOK, "GET", "/api/approvals", nil))
	require.Len(t, open, 2, "what only reads does not wait")
	require.Equal(t, "Ask", open[0]["owner_title"])
	require.Zero(t, lines(t, path))

	s.kill()
	s.start()
	s.until(run, "waiting")
	s.do(http.StatusOK, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(open[1])), nil)
	s.until(run, "waiting")
	denied := s.do(http.StatusOK, "POST", fmt.Sprintf("/api/tool-calls/%d/deny", id(open[0])), object{"note": "once is enough"})
	require.Equal(t, email, denied["decided_by"])
	s.do(http.StatusConflict, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(open[0])), nil)
	r := s.ended(run, "succeeded")
	out, _ := r["output"].(object)
	require.Equal(t, "Written.", out["text"])
	require.Equal(t, 1, lines(t, path))
	require.Len(t, llm.Requests(), 2, "the model was asked once before and once after")
	results := llm.Requests()[1].Results
	require.Equal(t, "recorded", results[0].Content)
	require.Contains(t, results[1].Content, "once is enough")
	require.Equal(t, "echo: x", results[2].Content)
	require.Empty(t, items(s.do(http.StatusOK, "GET", "/api/approvals", nil)))
}

func TestARunThatWaitsForAPersonIsCancelled(t *testing.T) {
	t.Parallel()
	web, llm := startServer(t, "http", 0), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__echo", Arguments: `{"text":"x"}`}}})
	s := newStudio(t, "openai", llm)
	server := s.mcpServer("web", object{"url": web.spec().URL}, object{"approval_tools": []string{"echo"}})
	run := s.run(object{"prompt": "Go.", "mcp_server_ids": []int64{server}})
	ask := s.until(run, "waiting")
	s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/flowchart-runs/%d/cancel", run), nil)
	s.ended(run, "cancelled")
	call := s.calls(ask)[0]
	require.Equal(t, "cancelled", call["status"])
	s.do(http.StatusConflict, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(call)), nil)
	require.Empty(t, items(s.do(http.StatusOK, "GET", "/api/approvals", nil)))
}

func TestCancelEndsACallAtItsServer(t *testing.T) {
	t.Parallel()
	web, path, llm := startServer(t, "http", 0), note(t), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__slow", Arguments: fmt.Sprintf(`{"path":%q}`, path)}}})
	s := newStudio(t, "anthropic", llm)
	server := s.mcpServer("web", object{"url": web.spec().URL}, nil)
	run := s.run(object{"prompt": "Go.", "mcp_server_ids": []int64{server}})
	ask := s.until(run, "running")
	require.Eventually(t, func() bool {
		logs := s.do(http.StatusOK, "GET", fmt.Sprintf("/api/nodes/%d/logs?stage=llm_query", id(ask)), nil)
		return strings.Contains(fmt.Sprint(logs), "1 of 4: a quarter")
	}, patience, 50*time.Millisecond, "progress is in the node's log")
	s.do(http.StatusAccepted, "POST", fmt.Sprintf("/api/flowchart-runs/%d/cancel", run), nil)
	s.ended(run, "cancelled")
	require.Eventually(t, func() bool { return lines(t, path) == 1 }, patience, 20*time.Millisecond, "the server was not told")
	require.Equal(t, "unknown", s.calls(ask)[0]["status"])
}

func TestAWorkerThatDiesInACallNeverRepeatsASideEffect(t *testing.T) {
	t.Parallel()
	web, path, llm := startServer(t, "http", 0), note(t), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__slow", Arguments: fmt.Sprintf(`{"path":%q}`, path)}}}, llmtest.Reply{Text: "I will look first."})
	s := newStudio(t, "gemini", llm)
	server := s.mcpServer("web", object{"url": web.spec().URL}, nil)
	run := s.run(object{"prompt": "Go.", "mcp_server_ids": []int64{server}})
	ask := s.until(run, "running")
	require.Eventually(t, func() bool { c := s.calls(ask); return len(c) == 1 && c[0]["status"] == "running" }, patience, 20*time.Millisecond)
	s.kill()
	s.start()
	r := s.ended(run, "succeeded")
	out, _ := r["output"].(object)
	require.Equal(t, "I will look first.", out["text"])
	calls := s.calls(ask)
	require.Len(t, calls, 1)
	require.Equal(t, "unknown", calls[0]["status"])
	require.Contains(t, llm.Requests()[1].Results[0].Content, "outcome of this call is unknown")
	require.Len(t, llm.Requests(), 2)
}

func TestAServerThatIsAwayIsAWarningAndATimeOutAnErrorForTheModel(t *testing.T) {
	t.Parallel()
	web, llm := startServer(t, "http", 0), llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__slow", Arguments: `{}`}}}, llmtest.Reply{Text: "Never mind."})
	s := newStudio(t, "openai", llm)
	ids := []int64{
		s.mcpServer("web", object{"url": web.spec().URL}, object{"timeout_seconds": 0.5, "allowed_tools": []string{"slow"}}),
		s.mcpServer("gone", object{"url": "http://127.0.0.1:1/mcp"}, nil), 4711,
	}
	run := s.run(object{"prompt": "Go.", "mcp_server_ids": ids})
	s.ended(run, "succeeded")
	_, ask := s.get(run)
	logs := fmt.Sprint(s.do(http.StatusOK, "GET", fmt.Sprintf("/api/nodes/%d/logs?limit=200", id(ask)), nil))
	require.Contains(t, logs, "There is no MCP server 4711")
	require.Contains(t, logs, "gone cannot be reached at 127.0.0.1:1")
	require.Equal(t, []string{"web__slow"}, llm.Requests()[0].Tools, "only what is allowed is offered")
	require.Contains(t, llm.Requests()[1].Results[0].Content, "did not answer within 500ms")
	require.Equal(t, "timeout", s.calls(ask)[0]["error"])
}

func TestAQuickNodeWaitsForAPersonAndGoesOn(t *testing.T) {
	t.Parallel()
	web, path := startServer(t, "http", 0), note(t)
	llm := llmtest.New(t)
	llm.On("", llmtest.Reply{ToolCalls: []llmtest.ToolCall{{ID: "a", Name: "web__record", Arguments: fmt.Sprintf(`{"path":%q,"line":"first"}`, path)}}},
		llmtest.Reply{Text: "Written."})
	s := newStudio(t, "openai", llm)
	server := s.mcpServer("web", object{"url": web.spec().URL}, object{"approval": "writes"})
	started, _ := s.do(http.StatusAccepted, "POST", "/api/nodes", object{
		"prompt": "Write.", "model_id": s.model, "mcp_server_ids": []int64{server}, "title": "Alone",
	})["task"].(object)
	until := func(status string) (task object) {
		require.Eventually(t, func() bool {
			task, _ = s.do(http.StatusOK, "GET", fmt.Sprintf("/api/nodes/%d", id(started)), nil)["task"].(object)
			return task["status"] == status
		}, patience, 20*time.Millisecond, "%v", task["error"])
		return task
	}
	until("waiting")
	open := items(s.do(http.StatusOK, "GET", "/api/approvals", nil))
	require.Len(t, open, 1)
	require.Equal(t, "Alone", open[0]["owner_title"])
	require.Nil(t, open[0]["flowchart_run_id"])
	s.kill()
	s.start()
	s.do(http.StatusOK, "POST", fmt.Sprintf("/api/tool-calls/%d/approve", id(open[0])), nil)
	out, _ := until("succeeded")["output_state"].(object)
	require.Equal(t, "Written.", out["text"])
	require.Equal(t, 1, lines(t, path))
}
