package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/egress"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/fetch/local"
	ragindex "github.com/llmctl/studio/internal/rag/index"
	"github.com/llmctl/studio/internal/rag/source"
	"github.com/llmctl/studio/internal/schedule"
	"github.com/llmctl/studio/internal/secret"
)

// sourceTimes keeps schedules as the composition root does.
type sourceTimes struct{ s *schedule.Store }

func (x sourceTimes) Set(ctx context.Context, tx *postgres.Tx, id int64, name string, want *source.IndexSchedule, user *int64) error {
	if want == nil {
		return x.s.SetForSource(ctx, tx, id, name, nil, user)
	}
	v := schedule.SourceSchedule{EverySeconds: want.EverySeconds, TimeZone: want.TimeZone, Mode: want.Mode, Enabled: want.Enabled}
	if want.Cron != nil {
		v.Cron = *want.Cron
	}
	return x.s.SetForSource(ctx, tx, id, name, &v, user)
}

func (x sourceTimes) Of(ctx context.Context, q postgres.Querier, ids []int64) (map[int64]source.IndexSchedule, error) {
	rows, err := x.s.OfSources(ctx, q, ids)
	out := map[int64]source.IndexSchedule{}
	for id, r := range rows {
		out[id] = source.IndexSchedule{ID: r.ID, Cron: &r.Cron, EverySeconds: r.EverySeconds, TimeZone: r.TimeZone, Mode: r.Mode, Enabled: r.Enabled, NextDueAt: r.NextDueAt}
	}
	return out, err
}

func (x sourceTimes) Suspend(ctx context.Context, tx *postgres.Tx, id int64) error {
	return x.s.SuspendSource(ctx, tx, id)
}

func (x sourceTimes) Resume(ctx context.Context, tx *postgres.Tx, id int64, at time.Time) error {
	return x.s.ResumeSource(ctx, tx, id, at)
}

// withSources gives the API sources that may lie in a folder.
func withSources(t *testing.T, root string) option {
	t.Helper()
	return func(b *testBundle, d *httpapi.Deps) {
		box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
		require.NoError(t, err)
		roots, err := local.NewRoots([]string{root})
		require.NoError(t, err)
		allow, err := egress.New(nil)
		require.NoError(t, err)
		d.Sources = source.New(source.Options{
			DB: b.db, Log: d.Log, Seal: box, Fingerprint: secret.Fingerprint, Schedules: sourceTimes{d.Schedules}, Runs: ragindex.New(ragindex.Options{}), Roots: roots, DataDir: t.TempDir(), Resolver: allow,
			Limits: func(context.Context, postgres.Querier) (int64, int64, error) { return 1 << 20, 1 << 20, nil },
		})
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	raw, err := json.Marshal(s)
	require.NoError(t, err)
	return string(raw)
}

func TestSourceLifecycle(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := setup(t, withSources(t, root))
	body := `{"name":"Docs","kind":"local","path":` + quoted(t, root) + `,"include":["*.md"],"schedule":{"cron":"0 3 * * *","time_zone":"Europe/Berlin"}}`
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/rag/sources", body, header{"Idempotency-Key", "k1"})
	again := b.admin(t, http.StatusCreated, http.MethodPost, "/api/rag/sources", body, header{"Idempotency-Key", "k1"})
	require.Equal(t, made.at(t, "id"), again.at(t, "id"))
	path := "/api/rag/sources/" + made.id(t, "id")
	got := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, `"1"`, got.header.Get("ETag"))
	for member, want := range map[string]any{
		"name": "Docs", "kind": "local", "path": root, "status": "not_indexed", "credential": nil, "index": nil, "error": nil, "active_run": nil, "last_run": nil,
		"max_file_bytes": nil,
	} {
		require.Equal(t, want, got.at(t, member), member)
	}
	require.Equal(t, "delta", got.at(t, "schedule", "mode"))
	require.NotNil(t, got.at(t, "schedule", "next_due_at"))
	listed := b.admin(t, http.StatusOK, http.MethodGet, "/api/schedules", nil)
	require.Equal(t, "rag_source", listed.at(t, "items", 0, "kind"))
	require.Equal(t, "Docs", listed.at(t, "items", 0, "rag_source_name"))
	schedulePath := "/api/schedules/" + got.id(t, "schedule", "id")
	b.admin(t, http.StatusConflict, http.MethodPost, schedulePath+"/fire", nil)

	changed := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"name":"Docs 2","max_file_bytes":5000,"schedule":{"every_seconds":3600,"mode":"fresh"}}`, header{"If-Match", `"1"`})
	require.Equal(t, json.Number("5000"), changed.at(t, "max_file_bytes"))
	require.Equal(t, json.Number("3600"), changed.at(t, "schedule", "every_seconds"))
	require.Equal(t, []any{"*.md"}, changed.at(t, "include"))
	require.Equal(t, "Every hour", b.admin(t, http.StatusOK, http.MethodGet, schedulePath, nil).at(t, "description"))
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"name":"x"}`, header{"If-Match", `"1"`})
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodPatch, path, `{"max_file_bytes":null,"schedule":null}`).at(t, "schedule"))

	b.admin(t, http.StatusPreconditionFailed, http.MethodDelete, path, nil, header{"If-Match", `"1"`})
	gone := b.admin(t, http.StatusAccepted, http.MethodDelete, path, nil)
	require.Equal(t, true, gone.at(t, "deleted"))
	require.NotNil(t, gone.at(t, "undo_until"))
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/sources", nil).at(t, "items"))
	b.admin(t, http.StatusOK, http.MethodPost, path+"/restore", nil)
	require.Len(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/sources?q=docs&kind=local&status=not_indexed", nil).at(t, "items"), 1)
	b.admin(t, http.StatusNotFound, http.MethodGet, "/api/rag/sources/99", nil)

	for action, n := range map[string]int{"created": 1, "updated": 2, "deleted": 1, "restored": 1} {
		require.Equal(t, n, b.count(t, `SELECT count(*) FROM audit_event WHERE entity_kind = 'rag_source' AND action = $1`, "rag_source."+action), action)
	}
}

func TestSecretsOfSourcesAreNeverShown(t *testing.T) {
	t.Parallel()
	const token = "super-secret-token-0123456789"
	b := setup(t, withSources(t, t.TempDir()))
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/rag/sources", `{"name":"Code","kind":"git","url":"https://git.example.org/a.git","token":"`+token+`"}`)
	path := "/api/rag/sources/" + made.id(t, "id")
	require.Equal(t, "token", made.at(t, "credential", "kind"))
	for _, a := range []answer{
		made, b.admin(t, http.StatusOK, http.MethodGet, path, nil), b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/sources", nil),
		b.admin(t, http.StatusOK, http.MethodPatch, path, `{"branch":"main"}`), b.admin(t, http.StatusOK, http.MethodGet, "/api/audit-events", nil),
		b.admin(t, http.StatusOK, http.MethodGet, "/api/events?stream=rag_source:"+made.id(t, "id"), nil),
	} {
		require.NotContains(t, a.raw, token)
	}
	moved := b.admin(t, http.StatusOK, http.MethodPatch, path, `{"url":"https://other.example.org/a.git"}`)
	require.Equal(t, true, moved.at(t, "secret_removed"))
	require.Nil(t, moved.at(t, "credential"))
	b.admin(t, http.StatusOK, http.MethodPatch, path, `{"token":"`+token+`"}`)
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodPatch, path, `{"token":null}`).at(t, "credential"))
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/rag/sources", `{"name":"Code 2","kind":"git","url":"https://git.example.org/a.git","token":"`+token+`"}`, header{"Idempotency-Key", "k"})
	var stored string
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT string_agg(k::text, ' ') FROM idempotency_key k`).Scan(&stored))
	require.NotContains(t, stored, token)
}

func TestFaultsOfSourcesAreToldByMember(t *testing.T) {
	t.Parallel()
	b := setup(t, withSources(t, t.TempDir()))
	a := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/rag/sources", `{"kind":"local","path":"/etc","url":"x","include":["["],"schedule":{"cron":"0 3 * * *"}}`)
	require.Equal(t, "rag.source_invalid", a.at(t, "reason"))
	var places []any
	for _, e := range a.at(t, "errors").([]any) {
		places = append(places, e.(map[string]any)["location"])
	}
	require.Equal(t, []any{"body.name", "body.include[0]", "body.url", "body.path"}, places)
	bad := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/rag/sources", `{"name":"x","kind":"git","url":"https://h/a","schedule":{"cron":"x"}}`)
	require.Equal(t, "body.schedule.cron", bad.at(t, "errors", 0, "location"))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/rag/sources", `{"name":"x","kind":"local","unknown":1}`)
}

func TestViewersSeeSourcesAndChangeNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	b := setup(t, withSources(t, root))
	made := b.admin(t, http.StatusCreated, http.MethodPost, "/api/rag/sources", `{"name":"Docs","kind":"local","path":`+quoted(t, root)+`}`)
	path := "/api/rag/sources/" + made.id(t, "id")
	for _, c := range []struct{ method, path, body string }{
		{http.MethodPost, "/api/rag/sources", `{"name":"x","kind":"local","path":` + quoted(t, root) + `}`},
		{http.MethodPatch, path, `{"name":"y"}`},
		{http.MethodDelete, path, ""},
		{http.MethodPost, path + "/restore", ""},
		{http.MethodPost, "/api/rag/sources/check", `{"kind":"local"}`},
		{http.MethodGet, "/api/rag/local-roots/browse?path=" + root, ""},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		require.Equal(t, http.StatusForbidden, b.do(t, c.method, c.path, body, b.as(auth.Viewer)).status, c.path)
	}
	for _, p := range []string{"/api/rag/sources", path, "/api/rag/local-roots"} {
		require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, p, nil, b.as(auth.Viewer)).status, p)
	}
}

func TestChecksAnswerWhatIsWrong(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o750))
	require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "a.md"), []byte("x"), 0o600))
	b := setup(t, withSources(t, root))
	check := func(body string) answer {
		return b.admin(t, http.StatusOK, http.MethodPost, "/api/rag/sources/check", body)
	}
	ok := check(`{"kind":"local","path":` + quoted(t, root+"/docs") + `}`)
	require.Equal(t, true, ok.at(t, "ok"))
	require.Equal(t, json.Number("1"), ok.at(t, "files"))
	missing := check(`{"kind":"local","path":` + quoted(t, root+"/nothing") + `}`)
	require.Equal(t, false, missing.at(t, "ok"))
	require.Equal(t, "rag.folder_missing", missing.at(t, "code"))
	invalid := check(`{"kind":"git","url":"ext::x"}`)
	require.Equal(t, "body.url", invalid.at(t, "errors", 0, "location"))
	refused := check(`{"kind":"git","url":"https://127.0.0.1/a.git"}`)
	require.Equal(t, "rag.address_refused", refused.at(t, "code"))
	b.admin(t, http.StatusNotFound, http.MethodPost, "/api/rag/sources/check", `{"id":99}`)
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/sources", nil).at(t, "items"), "nothing is stored")

	roots := b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/local-roots", nil)
	require.Equal(t, root, roots.at(t, "roots", 0, "path"))
	browsed := b.admin(t, http.StatusOK, http.MethodGet, "/api/rag/local-roots/browse?path="+root, nil)
	require.Equal(t, "docs", browsed.at(t, "folders", 0, "name"))
	b.admin(t, http.StatusUnprocessableEntity, http.MethodGet, "/api/rag/local-roots/browse?path=/etc", nil)
}
