package mcpserver_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// official runs the TypeScript client's scenario and checks what it saw.
func official(t *testing.T, url, key, published string) {
	t.Helper()
	out, err := node(t, "client.mjs", url, key, published)
	require.NoError(t, err, out)
	var seen m
	require.NoError(t, json.Unmarshal([]byte(out), &seen), out)
	require.Equal(t, "llmctl-mcp", seen["strangerServer"])
	require.Contains(t, seen["stranger"], "401")
	require.Contains(t, seen["tools"], "llmctl_run_flowchart")
	require.Contains(t, seen["tools"], published)
	require.Equal(t, true, seen["sameFlowchart"])
	require.Equal(t, true, seen["valid"])
	run, _ := seen["run"].(m)
	require.Equal(t, "succeeded", run["status"], out)
	result, _ := run["output"].(m)
	require.Equal(t, m{"done": true}, result["json"])
	require.Equal(t, result, seen["resource"])
	require.Equal(t, result, seen["nodeOutput"])
	require.Equal(t, []any{"start succeeded", "work succeeded", "end succeeded"}, seen["nodes"])
	require.NotEmpty(t, seen["progress"])
	require.InDelta(t, 3, seen["templates"], 0)
	require.Equal(t, "cancelled", seen["cancelled"])
	wrong, _ := seen["wrong"].(m)
	require.Equal(t, true, wrong["isError"])
	require.Contains(t, wrong["text"], "seconds")
	require.Equal(t, m{"listed": []any{true}, "messages": 0.0, "turns": 0.0, "found": 0.0}, seen["thread"])
	require.Contains(t, seen["noTurn"], "Next: llmctl_get_thread")
	again, _ := seen["published"].(m)
	require.Equal(t, m{"text": "hello"}, again["output"])
}

func TestOfficialClientBelowTheAPI(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.publish(t, "echo_text")
	official(t, s.url+"/api/mcp", s.admin, "echo_text")
}

func TestOfficialClientOverTwoReplicas(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.publish(t, "echo_text")
	first, one := mcp(t, database(s.uri)...)
	second, two := mcp(t, database(s.uri)...)
	for _, p := range []*process{first, second} {
		p.log.await(t, "the tools work")
	}
	url, n := roundRobin(t, one, two)
	official(t, url, s.admin, "echo_text")
	require.Greater(t, n.Load(), int64(15), "both had their part")
	first.stop(t)
	second.stop(t)
}

func TestInspector(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	p, url := mcp(t, database(s.uri)...)
	p.log.await(t, "the tools work")
	inspect := func(key string, args ...string) (string, error) {
		return node(t, append([]string{
			"node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js", "--cli", url, "--transport", "http",
			"--header", "Authorization: Bearer " + key,
		}, args...)...)
	}
	out, err := inspect(s.admin, "--method", "tools/list")
	require.NoError(t, err, out)
	require.Contains(t, out, `"llmctl_run_flowchart"`)
	out, err = inspect(s.view, "--method", "tools/list")
	require.NoError(t, err, out)
	require.NotContains(t, out, `"llmctl_run_flowchart"`, "a viewer cannot run")
	out, err = inspect(s.admin, "--method", "tools/call", "--tool-name", "llmctl_create_flowchart", "--tool-arg", "name=Inspected")
	require.NoError(t, err, out)
	require.Contains(t, out, "Inspected")
	out, _ = inspect(s.view, "--method", "tools/call", "--tool-name", "llmctl_list_flowcharts", "--tool-arg", "query=Inspected", "limit=5")
	require.Contains(t, out, "Inspected")
	_, _ = inspect(s.view, "--method", "tools/call", "--tool-name", "llmctl_delete_flowchart", "--tool-arg", "id=1") // how it refuses is the client's wording
	out, _ = inspect(s.view, "--method", "tools/call", "--tool-name", "llmctl_list_flowcharts", "--tool-arg", "query=Inspected", "limit=5")
	require.Contains(t, out, "Inspected", "a viewer deletes nothing")
	out, err = inspect(s.view, "--method", "resources/templates/list")
	require.NoError(t, err, out)
	require.Contains(t, out, "llmctl://artifacts/{id}")
	p.stop(t)
}

func TestGatePassesBeforeTheDatabaseIsThere(t *testing.T) {
	t.Parallel()
	p, url := mcp(t, database("postgresql://nobody@"+silent(t)+"/none")...)
	gate := llmctl(t, []string{"LLMCTL_STUDIO_MCP_REQUIRED_ENDPOINTS=" + url, "LLMCTL_STUDIO_MCP_WAIT_TIMEOUT_SECONDS=60"}, "wait-mcp")
	require.Contains(t, gate.log.await(t, `ready: .*`)[0], "llmctl-mcp")
	base := strings.TrimSuffix(url, "/mcp")
	require.Equal(t, http.StatusOK, status(t, base+"/healthz"))
	require.Equal(t, http.StatusServiceUnavailable, status(t, base+"/readyz"))
	require.Equal(t, http.StatusNotFound, status(t, base+"/elsewhere"))
	answer := post(t, url, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"llmctl_list_flowcharts"}}`)
	require.Contains(t, answer, `"isError":true`)
	require.Contains(t, answer, "database does not answer yet")
	p.stop(t)
}

func TestToolsWorkOnceTheDatabaseIsThere(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	p, url := mcp(t, database(s.uri)...)
	p.log.await(t, "the tools work")
	require.Equal(t, http.StatusOK, status(t, strings.TrimSuffix(url, "/mcp")+"/readyz"))
	p.stop(t)
}

func TestWaitingCallIsAnsweredWhenTheProcessEnds(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	made := s.api(t, http.MethodPost, "/flowcharts", m{"name": "Long", "graph": m{
		"nodes": []m{
			{"id": "start", "kind": "start"},
			{"id": "work", "kind": "script", "config": m{"script": "sleep 120", "shell": "sh"}},
			{"id": "end", "kind": "end"},
		},
		"edges": []m{{"id": "e1", "source": "start", "target": "work"}, {"id": "e2", "source": "work", "target": "end"}},
	}})
	id, err := json.Marshal(made["id"])
	require.NoError(t, err)
	p, url := mcp(t, database(s.uri)...)
	p.log.await(t, "the tools work")
	answered := make(chan string, 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"progressToken":"p"},"name":"llmctl_run_flowchart","arguments":{"id":`+string(id)+`,"wait_seconds":300}}}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+s.admin)
	res, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	first := make([]byte, 1)
	_, err = res.Body.Read(first) // the first progress: it waits
	require.NoError(t, err)
	go func() {
		rest, err := io.ReadAll(res.Body)
		if err != nil {
			t.Errorf("cut off: %v", err)
		}
		answered <- string(rest)
	}()
	began := time.Now()
	p.stop(t)
	rest := <-answered
	require.Contains(t, rest, `"finished":false`)
	require.Contains(t, rest, "llmctl_wait_flowchart_run")
	require.Less(t, time.Since(began), 20*time.Second)
}

func status(t *testing.T, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

func post(t *testing.T, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader([]byte(body)))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	res, err := (&http.Client{Timeout: patience}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(raw)
}
