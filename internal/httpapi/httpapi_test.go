package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/chat"
	"github.com/llmctl/studio/internal/document"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/flowchart/store"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/llm/catalog"
	"github.com/llmctl/studio/internal/llm/toolloop/calls"
	"github.com/llmctl/studio/internal/mcp/publish"
	"github.com/llmctl/studio/internal/mcp/servers"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	ragindex "github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/run"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/asktest"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

const (
	adminEmail = "ada@example.com"
	password   = "correct horse battery"
)

// testBundle is the whole API on a real listener and a database of its own.
type testBundle struct {
	db    *postgres.DB
	auth  *auth.Service
	log   *logBuffer
	url   string
	ready []string
	calls chan string // what the providers were asked, with the key they were given
	keys  map[auth.Role]string
}

type logBuffer struct{ lines chan string }

func (b *logBuffer) Write(p []byte) (int, error) {
	select {
	case b.lines <- string(p):
	default: // a test that does not look at the log
	}
	return len(p), nil
}

type noJobs struct{}

func (noJobs) InsertNodes(context.Context, *postgres.Tx, []run.Job) error { return nil }
func (noJobs) SignalCancel([]int64)                                       {}

// fakeProviders notes the calls and answers by the provider's name.
type fakeProviders struct{ calls chan string }

func (f *fakeProviders) Test(_ context.Context, p catalog.Provider, key string) (httpapi.ProviderTest, error) {
	f.calls <- "test " + p.Name + " " + key
	if p.Name == "broken" {
		return httpapi.ProviderTest{Message: "refused", Kind: "auth"}, nil
	}
	return httpapi.ProviderTest{OK: true, Models: 2}, nil
}

func (f *fakeProviders) Models(_ context.Context, p catalog.Provider, key string) ([]httpapi.ProviderModel, error) {
	f.calls <- "models " + p.Name + " " + key
	if p.Name == "broken" {
		return nil, errs.E(errs.Unavailable, "provider.unavailable", "It cannot be reached.")
	}
	return []httpapi.ProviderModel{{ID: "m1", Name: "M 1"}}, nil
}

func page() fs.FS {
	return fstest.MapFS{
		"index.html":         {Data: []byte(`<!doctype html><html><head lang="en"><title>x</title></head><body></body></html>`)},
		"assets/app-1a2b.js": {Data: []byte("console.log(1)")},
		"favicon.svg":        {Data: []byte("<svg/>")},
	}
}

type option func(b *testBundle, d *httpapi.Deps)

// setup starts the API; it has one user of each role, with an API key each.
func setup(t *testing.T, options ...option) *testBundle {
	t.Helper()
	b := &testBundle{
		db: pgtest.DB(t), log: &logBuffer{lines: make(chan string, 256)}, calls: make(chan string, 16), keys: map[auth.Role]string{},
	}
	b.start(t, options...)
	_, err := b.auth.EnsureAdmin(t.Context(), adminEmail, password)
	require.NoError(t, err)
	for _, role := range []auth.Role{auth.Editor, auth.Viewer} {
		// With the admin's hash: hashing is slow on purpose, and not what is tested here.
		_, err := b.db.Exec(t.Context(), `INSERT INTO app_user (email, password_hash, role)
			SELECT $1, password_hash, $2 FROM app_user WHERE role = 'admin'`, string(role)+"@example.com", role)
		require.NoError(t, err)
	}
	users, err := b.auth.ListUsers(t.Context(), 0, 10)
	require.NoError(t, err)
	for _, u := range users {
		_, key, err := b.auth.CreateKey(t.Context(), u.ID, "test")
		require.NoError(t, err)
		b.keys[auth.Role(u.Role)] = key
	}
	return b
}

func (b *testBundle) start(t *testing.T, options ...option) {
	t.Helper()
	var err error
	b.auth, err = auth.NewService(t.Context(), b.db, time.Now)
	require.NoError(t, err)
	box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
	require.NoError(t, err)
	log := event.NewLog(nil, time.Now)
	jobs, err := queue.NewClient(queue.Options{DB: b.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	d := httpapi.Deps{
		DB: b.db, Log: log, Auth: b.auth, Flowcharts: store.New(b.db, log, time.Now),
		Catalog: catalog.New(b.db, log, box, secret.Fingerprint),
		Engine: run.NewEngine(run.Options{
			DB: b.db, Log: log, Jobs: noJobs{}, Signaller: noJobs{}, ExecutorFor: func(string) string { return "inline" }, Now: time.Now,
		}),
		Schedules: schedule.NewStore(b.db, log),
		Queues:    queue.NewBoard(b.db, jobs, log, time.Now),
		Providers: &fakeProviders{calls: b.calls}, Embeddings: fakeEmbeddings{}, Page: page(),
		Ready:     func(context.Context) []string { return b.ready },
		APIPrefix: "/api", WebPrefix: "/web", SocketPath: "/socket.io", Transports: []string{"websocket", "polling"},
		Version: "dev", Logger: slog.New(slog.NewJSONHandler(b.log, nil)), Now: time.Now,
	}
	d.StudioMCP = &httpapi.StudioMCP{Handler: mcpStub{}, Tools: 3, Published: publish.New(b.db, log), PublicBaseURL: "https://studio.example.com/"}
	d.Downloads = download.New(download.Options{DB: b.db, Log: log, Queue: noJobs{}, DataDir: t.TempDir(), Now: time.Now})
	d.Threads = chat.New(chat.Options{DB: b.db, Log: log, Queue: noTurns{}, Models: catalogModels{d.Catalog}, Documents: document.InProcess{}, Now: time.Now})
	d.MCP = httpapi.MCPDeps{
		Servers: servers.New(servers.Options{DB: b.db, Log: log, Seal: box, Fingerprint: secret.Fingerprint, Now: time.Now}),
		Calls:   calls.NewStore(b.db), Client: fakeMCP{},
	}
	d.Retrieval = asktest.New(t, b.db)
	d.Indexing = ragindex.New(ragindex.Options{DB: b.db, Log: log, Engine: d.Engine, Now: time.Now})
	withNodeExecutor(t)(b, &d)
	withSources(t, t.TempDir())(b, &d)
	for _, o := range options {
		o(b, &d)
	}
	server := httptest.NewServer(httpapi.New(d))
	t.Cleanup(server.Close)
	b.url = server.URL
}

// answer is what came back; Body is decoded JSON if it was an object.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// at walks the body: at("flowchart_run", "status").
func (a answer) at(t *testing.T, path ...any) any {
	t.Helper()
	var v any = a.body
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			require.True(t, ok, "%v in %s", path, a.raw)
			require.Contains(t, m, p, a.raw)
			v = m[p]
		case int:
			l, ok := v.([]any)
			require.True(t, ok && len(l) > p, "%v in %s", path, a.raw)
			v = l[p]
		}
	}
	return v
}

func (a answer) id(t *testing.T, path ...any) string {
	t.Helper()
	n, ok := a.at(t, path...).(json.Number)
	require.True(t, ok, a.raw)
	return n.String()
}

type header struct{ name, value string }

// do sends a request; body is nil, raw JSON text or something to encode.
func (b *testBundle) do(t *testing.T, method, path string, body any, headers ...header) answer {
	t.Helper()
	var reader io.Reader = http.NoBody
	switch v := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(v)
	default:
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, b.url+path, reader)
	require.NoError(t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		if h.value == "" {
			req.Header.Del(h.name)
			continue
		}
		req.Header.Add(h.name, h.value)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	_ = dec.Decode(&a.body) // not everything is an object
	return a
}

func (b *testBundle) as(role auth.Role) header {
	return header{"Authorization", "Bearer " + b.keys[role]}
}

// admin sends as the admin and expects a status.
func (b *testBundle) admin(t *testing.T, want int, method, path string, body any, headers ...header) answer {
	t.Helper()
	a := b.do(t, method, path, body, append(headers, b.as(auth.Admin))...)
	require.Equal(t, want, a.status, "%s %s: %s", method, path, a.raw)
	return a
}

// problem expects an error envelope.
func (a answer) problem(t *testing.T, status int, code, reason string) {
	t.Helper()
	require.Equal(t, status, a.status, a.raw)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	for _, member := range []string{"type", "title", "status", "detail", "code", "reason", "errors", "request_id", "correlation_id"} {
		require.Contains(t, a.body, member, a.raw)
	}
	require.Equal(t, http.StatusText(status), a.body["title"])
	require.Equal(t, code, a.body["code"], a.raw)
	require.Equal(t, reason, a.body["reason"], a.raw)
	require.NotEmpty(t, a.body["detail"])
	require.NotEmpty(t, a.body["request_id"])
	require.NotNil(t, a.body["errors"], "an empty list, never null")
}

// events gives the types of a stream's events.
func (b *testBundle) events(t *testing.T, stream string) []string {
	t.Helper()
	rows, err := event.ReadStream(t.Context(), b.db, stream, 0, 100)
	require.NoError(t, err)
	types := make([]string, len(rows))
	for i, r := range rows {
		require.EqualValues(t, i+1, r.Envelope.Sequence)
		types[i] = r.Envelope.EventType
	}
	return types
}

func (b *testBundle) count(t *testing.T, sql string, args ...any) int {
	t.Helper()
	var n int
	require.NoError(t, b.db.QueryRow(t.Context(), sql, args...).Scan(&n))
	return n
}

func (b *testBundle) audited(t *testing.T) []string {
	t.Helper()
	rows, err := b.auth.ListAudit(t.Context(), auth.AuditFilter{Limit: 200})
	require.NoError(t, err)
	var actions []string
	for _, r := range rows {
		actions = append(actions, r.Action+" "+r.EntityID)
	}
	return actions
}
