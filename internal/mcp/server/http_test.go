package server_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/bus"
)

const (
	initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	ping       = `{"jsonrpc":"2.0","id":2,"method":"ping"}`
	list       = `{"jsonrpc":"2.0","id":3,"method":"tools/list"}`
	callOne    = `{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"llmctl_list_models","arguments":{}}}`
)

type reply struct {
	status int
	header http.Header
	raw    string
}

// message is the JSON-RPC message of the answer, an event or plain.
func (r reply) message(t *testing.T) map[string]any {
	t.Helper()
	text := r.raw
	if strings.HasPrefix(r.header.Get("Content-Type"), "text/event-stream") {
		lines := bufio.NewScanner(strings.NewReader(r.raw))
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				text = data
			}
		}
	}
	var out map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &out), r.raw)
	return out
}

func (r reply) refusal(t *testing.T) string {
	t.Helper()
	e, ok := r.message(t)["error"].(map[string]any)
	require.True(t, ok, r.raw)
	data, _ := e["data"].(map[string]any)
	reason, _ := data["reason"].(string)
	return reason
}

func send(t *testing.T, method, url, body string, headers map[string]string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Close = true
	for name, value := range headers {
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return reply{res.StatusCode, res.Header, string(raw)}
}

func post(t *testing.T, url, body string, headers map[string]string) reply {
	t.Helper()
	return send(t, http.MethodPost, url, body, headers)
}

func TestHandshakeNeedsNeitherKeyNorDatabase(t *testing.T) {
	t.Parallel()
	url := serve(t, newServer(t, io.Discard)) // nothing is attached
	for _, body := range []string{initialize, ping} {
		r := post(t, url, body, nil)
		require.Equal(t, http.StatusOK, r.status, r.raw)
		require.Contains(t, r.message(t), "result")
	}
	r := post(t, url, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, nil)
	require.Equal(t, http.StatusAccepted, r.status, r.raw)
	called := post(t, url, callOne, nil)
	require.Equal(t, http.StatusOK, called.status)
	result, _ := called.message(t)["result"].(map[string]any)
	require.Equal(t, true, result["isError"])
	require.Contains(t, called.raw, "database does not answer yet")
	require.Contains(t, called.raw, "Next: try the same call again")
	require.Contains(t, post(t, url, list, nil).raw, "database does not answer yet")
}

func TestEverythingElseNeedsAKey(t *testing.T) {
	t.Parallel()
	r := setup(t)
	batch := func(bodies ...string) string { return "[" + strings.Join(bodies, ",") + "]" }
	for name, c := range map[string]struct {
		body    string
		headers map[string]string
	}{
		"none":              {list, nil},
		"call":              {callOne, nil},
		"hidden in a batch": {batch(ping, callOne), nil},
		"empty batch":       {"[]", nil},
		"unknown":           {list, map[string]string{"Authorization": "Bearer llmctl_wrong"}},
		"other scheme":      {list, map[string]string{"Authorization": "Basic " + r.keys[auth.Admin]}},
		"a cookie":          {list, map[string]string{"Cookie": auth.Cookie + "=" + r.keys[auth.Admin]}},
		"no JSON":           {"{", nil},
		"two methods":       {`{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"ping"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := post(t, r.url, c.body, c.headers)
			require.NotContains(t, got.raw, `"result"`)
			if got.status != http.StatusBadRequest {
				require.Equal(t, http.StatusUnauthorized, got.status, got.raw)
				require.Contains(t, got.header.Get("WWW-Authenticate"), "Bearer")
			}
		})
	}
	got := post(t, r.url, list, map[string]string{"Authorization": "bearer " + r.keys[auth.Viewer]})
	require.Equal(t, http.StatusOK, got.status, got.raw)
}

func TestRevokedKeyEnds(t *testing.T) {
	t.Parallel()
	r := setup(t)
	with := map[string]string{"Authorization": "Bearer " + r.keys[auth.Viewer]}
	require.Equal(t, http.StatusOK, post(t, r.url, list, with).status)
	_, err := r.db.Exec(t.Context(), "UPDATE api_key SET revoked_at = now()")
	require.NoError(t, err)
	r.domains.Auth.Forget()
	require.Equal(t, http.StatusUnauthorized, post(t, r.url, list, with).status)
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for origin, status := range map[string]int{
		"https://studio.example.com":      http.StatusOK, // named
		"http://localhost:6274":           http.StatusOK, // this machine, over loopback
		"http://127.0.0.1:6274":           http.StatusOK,
		"http://[::1]:6274":               http.StatusOK,
		"https://evil.example":            http.StatusForbidden,
		"https://localhost.evil.example":  http.StatusForbidden,
		"https://studio.example.com.evil": http.StatusForbidden,
		"null":                            http.StatusForbidden,
	} {
		// The Host is what a page with a name resolved to us would send.
		got := post(t, r.url, initialize, map[string]string{"Origin": origin, "Host": strings.TrimPrefix(strings.TrimPrefix(origin, "https://"), "http://")})
		require.Equal(t, status, got.status, origin)
		if status == http.StatusOK {
			require.Equal(t, origin, got.header.Get("Access-Control-Allow-Origin"))
			continue
		}
		require.Equal(t, "mcp.origin", got.refusal(t))
		require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
	}
	preflight := send(t, http.MethodOptions, r.url, "", map[string]string{"Origin": "https://studio.example.com", "Access-Control-Request-Method": "POST"})
	require.Equal(t, http.StatusNoContent, preflight.status)
	require.Contains(t, preflight.header.Get("Access-Control-Allow-Headers"), "Authorization")
}

func TestLoopbackPagesAreRefusedFromElsewhere(t *testing.T) {
	t.Parallel()
	s := newServer(t, io.Discard)
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(initialize))
	req.Header.Set("Origin", "http://localhost:8000") // no address of this side that is loopback
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	require.Equal(t, http.StatusForbidden, w.Code)
}

func TestOnlyPOSTIsTaken(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut} {
		got := send(t, method, r.url, "", map[string]string{"Authorization": "Bearer " + r.keys[auth.Admin]})
		require.Equal(t, http.StatusMethodNotAllowed, got.status)
		require.Equal(t, "POST", got.header.Get("Allow"))
	}
}

func TestLargeBodiesAreRefused(t *testing.T) {
	t.Parallel()
	r := setup(t)
	got := post(t, r.url, `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"`+strings.Repeat("x", 8<<20)+`"}}`, nil)
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
	require.Equal(t, "mcp.too_large", got.refusal(t))
}

func TestLargeGraphPasses(t *testing.T) {
	t.Parallel()
	r := setup(t)
	g := echo()
	g["nodes"].([]m)[1]["config"] = m{}
	g["nodes"].([]m)[0]["title"] = "Start"
	g["note"] = strings.Repeat("x", 5<<20) // a member that is not the graph's is dropped
	made := call(t, r.as(t, auth.Editor), "llmctl_create_flowchart", m{"name": "Large", "graph": g})
	if made.IsError {
		require.NotContains(t, made.text(t), "too_large")
	}
}

func TestRequestIsNamed(t *testing.T) {
	t.Parallel()
	r := setup(t)
	got := post(t, r.url, callOne, map[string]string{"Authorization": "Bearer " + r.keys[auth.Viewer], "X-Request-ID": "abc-1"})
	require.Equal(t, "abc-1", got.header.Get("X-Request-ID"))
	require.Contains(t, r.log.String(), `"request_id":"abc-1"`)
	require.NotContains(t, r.log.String(), r.keys[auth.Viewer])
	require.NotEmpty(t, post(t, r.url, ping, map[string]string{"X-Request-ID": "no good\x7f"[:7]}).header.Get("X-Request-ID"))
}

func TestBothErasOfTheProtocolWork(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, version := range []string{"2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"} {
		client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
		session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
			Endpoint: r.url, HTTPClient: &http.Client{Transport: keyed{r.keys[auth.Editor]}}, MaxRetries: -1, DisableStandaloneSSE: true,
		}, &mcp.ClientSessionOptions{ProtocolVersion: version})
		require.NoError(t, err, version)
		ok(t, session, "llmctl_list_models", m{})
		require.NoError(t, session.Close())
	}
	transport.CloseIdleConnections()
}

func TestTwoReplicasShareEachSession(t *testing.T) {
	t.Parallel()
	r := setup(t)
	second := newServer(t, io.Discard)
	second.Attach(domains(t, r.db, bus.NewMemory())) // its own everything but the database
	var mu sync.Mutex
	turn := 0
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		turn++
		even := turn%2 == 0
		mu.Unlock()
		if even {
			second.ServeHTTP(w, req)
			return
		}
		r.server.ServeHTTP(w, req)
	}))
	s := connect(t, url, r.keys[auth.Editor], nil)
	id := ok(t, s, "llmctl_create_flowchart", m{"name": "Echo", "graph": echo()}).id(t, "id")
	for range 6 {
		ran := ok(t, s, "llmctl_run_flowchart", m{"id": id, "input": m{"text": "x"}, "wait_seconds": 5})
		ok(t, s, "llmctl_get_flowchart_run", m{"id": ran.id(t, "run_id")})
	}
}

// FuzzRequests holds that no body makes the server panic, answer a tool without a
// key, or hang.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{initialize, ping, list, callOne, "[" + ping + "," + list + "]", "", "[]", "null", `{"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":{},"method":"ping"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s := newServer(t, io.Discard)
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/mcp", strings.NewReader(string(body)))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if strings.Contains(w.Body.String(), `"tools":[`) || strings.Contains(w.Body.String(), "structuredContent") {
			t.Fatalf("answered without a key: %s", w.Body.String())
		}
	})
}
