package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/mcp/server"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/asktest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type noJobs struct{}

func (noJobs) InsertNodes(context.Context, *postgres.Tx, []run.Job) error      { return nil }
func (noJobs) SignalCancel([]int64)                                            {}
func (noJobs) Enqueue(context.Context, *postgres.Tx, []download.Pointer) error { return nil }

// rig is an MCP server on a real listener and a database of its own.
type rig struct {
	db      *postgres.DB
	server  *server.Server
	domains server.Domains
	hints   bus.Bus
	url     string
	keys    map[auth.Role]string
	log     *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newServer(t *testing.T, log io.Writer) *server.Server {
	t.Helper()
	s, err := server.New(server.Options{
		Version: "dev", DefaultLimit: 2, MaxLimit: 40, Origins: []string{"https://studio.example.com"},
		Logger: slog.New(slog.NewJSONHandler(log, nil)), Now: time.Now,
	})
	require.NoError(t, err)
	return s
}

func setup(t *testing.T) *rig {
	t.Helper()
	r := &rig{db: pgtest.DB(t), keys: map[auth.Role]string{}, log: &syncBuffer{}}
	r.hints = bus.NewMemory()
	r.domains = domains(t, r.db, r.hints)
	_, err := r.domains.Auth.EnsureAdmin(t.Context(), "ada@example.com", "correct horse battery")
	require.NoError(t, err)
	for _, role := range []auth.Role{auth.Editor, auth.Viewer} {
		_, err := r.db.Exec(t.Context(), `INSERT INTO app_user (email, password_hash, role)
			SELECT $1, password_hash, $2 FROM app_user WHERE role = 'admin'`, string(role)+"@example.com", role)
		require.NoError(t, err)
	}
	users, err := r.domains.Auth.ListUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	for _, u := range users {
		_, key, err := r.domains.Auth.CreateKey(t.Context(), u.ID, "test")
		require.NoError(t, err)
		r.keys[auth.Role(u.Role)] = key
	}
	r.server = newServer(t, r.log)
	r.server.Attach(r.domains)
	r.url = serve(t, r.server)
	return r
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.URL
}

func domains(t *testing.T, db *postgres.DB, hints bus.Bus) server.Domains {
	t.Helper()
	log := event.NewLog(hints, time.Now)
	service, err := auth.NewService(t.Context(), db, time.Now)
	require.NoError(t, err)
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	return server.Domains{
		DB: db, Auth: service, Flowcharts: store.New(db, log, time.Now), Catalog: catalog.New(db, log, box, secret.Fingerprint),
		Engine: run.NewEngine(run.Options{
			DB: db, Log: log, Jobs: noJobs{}, Signaller: noJobs{}, ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
		}),
		Downloads: download.New(download.Options{DB: db, Log: log, Queue: noJobs{}, DataDir: t.TempDir(), Now: time.Now}),
		Published: publish.New(db, log), Retrieval: asktest.New(t, db),
		Threads: chat.New(chat.Options{
			DB: db, Log: log, Queue: noTurns{}, Models: anyModel{}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		}),
		Hints: func(f func(string)) func() {
			return hints.Subscribe(func(h bus.Hint) { f(h.Stream) })
		},
	}
}

// transport is for all clients of the tests.
var transport = &http.Transport{}

// keyed sends an API key with every request.
type keyed struct{ key string }

func (k keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	if k.key != "" {
		r.Header.Set("Authorization", "Bearer "+k.key)
	}
	return transport.RoundTrip(r)
}

// connect gives a session of the SDK's client.
func connect(t *testing.T, url, key string, o *mcp.ClientOptions) *mcp.ClientSession {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, o)
	session, err := client.Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: url, HTTPClient: &http.Client{Transport: keyed{key}}, MaxRetries: -1, DisableStandaloneSSE: true,
	}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = session.Close(); transport.CloseIdleConnections() })
	return session
}

func (r *rig) as(t *testing.T, role auth.Role) *mcp.ClientSession {
	t.Helper()
	return connect(t, r.url, r.keys[role], nil)
}

// called is a tool's answer.
type called struct {
	*mcp.CallToolResult
	body map[string]any
}

func (c called) text(t *testing.T) string {
	t.Helper()
	require.NotEmpty(t, c.Content)
	text, ok := c.Content[0].(*mcp.TextContent)
	require.True(t, ok)
	return text.Text
}

func (c called) reason(t *testing.T) string {
	t.Helper()
	require.True(t, c.IsError, "%v", c.body)
	m, ok := c.Meta["llmctl/error"].(map[string]any)
	require.True(t, ok)
	reason, _ := m["reason"].(string)
	return reason
}

// call calls a tool and holds its answer against the tool's output schema.
func call(t *testing.T, s *mcp.ClientSession, name string, arguments any) called {
	t.Helper()
	res, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: name, Arguments: arguments})
	require.NoError(t, err)
	out := called{CallToolResult: res}
	if res.IsError {
		require.Nil(t, res.StructuredContent)
		return out
	}
	body, ok := res.StructuredContent.(map[string]any)
	require.True(t, ok)
	out.body = body
	fits(t, toolNamed(t, s, name).OutputSchema, res.StructuredContent)
	require.JSONEq(t, out.text(t), encode(t, res.StructuredContent))
	return out
}

func ok(t *testing.T, s *mcp.ClientSession, name string, arguments any) called {
	t.Helper()
	c := call(t, s, name, arguments)
	if c.IsError {
		require.Fail(t, name, c.text(t))
	}
	return c
}

func (c called) id(t *testing.T, member string) int64 {
	t.Helper()
	n, ok := c.body[member].(float64)
	require.True(t, ok, "%v", c.body)
	return int64(n)
}

func encode(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return string(raw)
}

func compiled(t *testing.T, schema any) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(encode(t, schema)))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("schema.json", doc))
	s, err := c.Compile("schema.json")
	require.NoError(t, err)
	return s
}

func fits(t *testing.T, schema, value any) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(encode(t, value)))
	require.NoError(t, err)
	require.NoError(t, compiled(t, schema).Validate(doc), "%s", encode(t, value))
}

// tools lists all, page by page.
func tools(t *testing.T, s *mcp.ClientSession) []*mcp.Tool {
	t.Helper()
	var out []*mcp.Tool
	cursor := ""
	for {
		page, err := s.ListTools(t.Context(), &mcp.ListToolsParams{Cursor: cursor})
		require.NoError(t, err)
		out = append(out, page.Tools...)
		if cursor = page.NextCursor; cursor == "" {
			return out
		}
		require.NotEmpty(t, page.Tools, "a page without tools that names a next one")
	}
}

func toolNamed(t *testing.T, s *mcp.ClientSession, name string) *mcp.Tool {
	t.Helper()
	for _, tool := range tools(t, s) {
		if tool.Name == name {
			return tool
		}
	}
	require.Fail(t, "no tool "+name)
	return nil
}

type m = map[string]any

// echo is a graph that ends within the transaction that starts it.
func echo() m {
	return m{
		"nodes": []m{
			{"id": "start", "kind": "start", "title": "Start", "position": m{"x": 0, "y": 0}, "config": m{"input_schema": m{
				"type": "object", "required": []string{"text"}, "properties": m{"text": m{"type": "string"}},
			}}},
			{"id": "end", "kind": "end", "title": "End", "position": m{"x": 200, "y": 0}, "config": m{}},
		},
		"edges": []m{{"id": "e1", "source": "start", "target": "end", "mode": "solid"}},
	}
}

// slow is a graph whose node waits for a worker that never comes.
func slow() m {
	g := echo()
	g["nodes"] = append(g["nodes"].([]m), m{
		"id": "fetch", "kind": "http", "title": "Fetch", "position": m{"x": 100, "y": 0}, "config": m{"method": "GET", "url": "https://example.com/"},
	})
	g["edges"] = []m{{"id": "e1", "source": "start", "target": "fetch"}, {"id": "e2", "source": "fetch", "target": "end"}}
	return g
}
