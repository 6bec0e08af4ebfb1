package httpapi_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"riverqueue.com/riverui"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/queue"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// worker adds a live worker of the default queue.
func (b *testBundle) worker(t *testing.T, slots int) string {
	t.Helper()
	id := uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, rss_bytes, cpu_cores)
		VALUES ($1, 'test', 'box', 7, 'v1', $2, '{llmctl_studio}', 1048576, 0.5)`, id, slots)
	require.NoError(t, err)
	return id.String()
}

// failedRun makes a run that failed at a node and gives both ids.
func (b *testBundle) failedRun(t *testing.T, code string) (runID, nodeID int64) {
	t.Helper()
	f := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", map[string]any{"name": "f " + uuid.NewString()}).id(t, "id")
	b.admin(t, http.StatusOK, http.MethodPut, "/api/flowcharts/"+f+"/graph",
		`{"nodes":[{"id":"start","kind":"start"},{"id":"a","kind":"script","title":"A","config":{"script":"false"}},{"id":"end","kind":"end"}],
		  "edges":[{"id":"e1","source":"start","target":"a","mode":"solid"},{"id":"e2","source":"a","target":"end","mode":"solid"}]}`)
	run := b.admin(t, http.StatusAccepted, http.MethodPost, "/api/flowcharts/"+f+"/runs", `{}`).id(t, "flowchart_run", "id")
	require.NoError(t, b.db.QueryRow(t.Context(), `UPDATE node_run SET status = 'failed', finished_at = now(), attempt = 3, lost = 3,
		error = jsonb_build_object('code', $2::text, 'message', 'it broke') WHERE flowchart_run_id = $1::bigint AND kind = 'script'
		RETURNING flowchart_run_id, id`, run, code).Scan(&runID, &nodeID))
	_, err := b.db.Exec(t.Context(), `UPDATE flowchart_run SET status = 'failed', finished_at = now() WHERE id = $1`, runID)
	require.NoError(t, err)
	return runID, nodeID
}

func TestQueuesAreListedWithWhoTakesThem(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.worker(t, 4)
	a := b.do(t, http.MethodGet, "/api/queues", nil, b.as(auth.Viewer))
	require.Equal(t, http.StatusOK, a.status, a.raw)
	for i, name := range queue.Names() {
		require.Equal(t, name, a.at(t, "items", i, "name"))
	}
	require.Equal(t, "4", a.id(t, "slots", "total"))
	require.Equal(t, "1", a.id(t, "items", 0, "consumers"))
	require.Equal(t, "0", a.id(t, "items", 1, "consumers"))
	require.Empty(t, a.at(t, "items", 0, "notice"))
	require.Nil(t, a.at(t, "items", 0, "paused"))
	bounds, ok := a.at(t, "bounds_seconds").([]any)
	require.True(t, ok)
	require.Len(t, a.at(t, "items", 0, "waited", "counts"), len(bounds)+1)
	require.Len(t, a.at(t, "items", 0, "history", "enqueued"), 60)

	one := b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/"+queue.RAGGit, nil)
	require.Len(t, one.at(t, "heat", "took"), 60)
	b.do(t, http.MethodGet, "/api/queues/llmctl-studio", nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "queue.not_found")
}

func TestJobsThatNobodyTakesAreSaidToBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs, err := queue.NewClient(queue.Options{DB: b.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return jobs.Insert(ctx, tx, []queue.Pointer{{Kind: "thing", ID: 1, Queue: queue.Downloads}})
	}))
	q := b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/"+queue.Downloads, nil)
	require.Equal(t, true, q.at(t, "no_consumer"))
	require.Equal(t, "1 job waits and no worker takes this queue. Start one: llmctl worker, with llmctl_studio.downloads.huggingface in CELERY_WORKER_QUEUES.",
		q.at(t, "notice"))
	list := b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/"+queue.Downloads+"/jobs", nil)
	require.Len(t, list.at(t, "items"), 1)
	require.Equal(t, "thing", list.at(t, "items", 0, "kind"))
	require.Nil(t, list.at(t, "items", 0, "target"))
	b.do(t, http.MethodGet, "/api/queues/"+queue.Downloads+"/jobs?cursor=x", nil, b.as(auth.Admin)).
		problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid_cursor")
	b.do(t, http.MethodGet, "/api/queues/"+queue.Downloads+"/jobs?state=odd", nil, b.as(auth.Admin)).
		problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid")
}

func TestJobsArePaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	jobs, err := queue.NewClient(queue.Options{DB: b.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		var pointers []queue.Pointer
		for i := range int64(5) {
			pointers = append(pointers, queue.Pointer{Kind: "thing", ID: 1 + i, Queue: queue.Default})
		}
		return jobs.Insert(ctx, tx, pointers)
	}))
	seen := map[string]bool{}
	cursor := ""
	for range 3 {
		a := b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/llmctl_studio/jobs?limit=2&cursor="+cursor, nil)
		items, ok := a.at(t, "items").([]any)
		require.True(t, ok)
		for i := range items {
			seen[a.id(t, "items", i, "id")] = true
		}
		cursor, _ = a.at(t, "next_cursor").(string)
	}
	require.Empty(t, cursor)
	require.Len(t, seen, 5)
}

func TestAdministratorsPauseAndResumeQueues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := "/api/queues/" + queue.Default
	for _, role := range []auth.Role{auth.Viewer, auth.Editor} {
		b.do(t, http.MethodPost, path+"/pause", nil, b.as(role)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	}
	q := b.admin(t, http.StatusOK, http.MethodPost, path+"/pause", nil)
	require.Equal(t, adminEmail, q.at(t, "paused", "by"))
	b.admin(t, http.StatusOK, http.MethodPost, path+"/pause", nil)
	q = b.admin(t, http.StatusOK, http.MethodPost, path+"/resume", nil)
	require.Nil(t, q.at(t, "paused"))
	b.do(t, http.MethodPost, "/api/queues/nope/pause", nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "queue.not_found")
	require.Equal(t, []string{"config:queue:updated", "config:queue:updated"}, b.events(t, "config:queue:"+queue.Default))
	require.Equal(t, []string{"queue.resumed " + queue.Default, "queue.paused " + queue.Default}, b.audited(t)[:2], "what changed nothing is not noted")
}

func TestAdministratorsDrainWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.worker(t, 2)
	b.do(t, http.MethodPost, "/api/workers/"+id+"/drain", nil, b.as(auth.Editor)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	w := b.admin(t, http.StatusOK, http.MethodPost, "/api/workers/"+id+"/drain", nil)
	require.Equal(t, "draining", w.at(t, "state"))
	require.Equal(t, adminEmail, w.at(t, "draining_by"))
	require.Equal(t, "1048576", w.id(t, "rss_bytes"))
	require.Len(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/workers?state=draining&queue=llmctl_studio", nil).at(t, "items"), 1)
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/workers?state=ready", nil).at(t, "items"))
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/workers?queue="+queue.RAGGit, nil).at(t, "items"))
	w = b.admin(t, http.StatusOK, http.MethodPost, "/api/workers/"+id+"/resume", nil)
	require.Equal(t, "ready", w.at(t, "state"))
	_, err := b.db.Exec(t.Context(), `UPDATE worker_process SET stopped_at = now()`)
	require.NoError(t, err)
	b.do(t, http.MethodPost, "/api/workers/"+id+"/drain", nil, b.as(auth.Admin)).problem(t, http.StatusConflict, "conflict", "worker.ended")
	b.do(t, http.MethodPost, "/api/workers/"+uuid.NewString()+"/drain", nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "worker.not_found")
}

func TestDeadItemsAreRetriedOnceWithAnAnswerForEach(t *testing.T) {
	t.Parallel()
	b := setup(t)
	run1, node1 := b.failedRun(t, "exit")
	_, node2 := b.failedRun(t, "lost")
	path := "/api/queues/" + queue.Default + "/dead"
	list := b.do(t, http.MethodGet, path, nil, b.as(auth.Viewer))
	require.Len(t, list.at(t, "items"), 2)
	require.Equal(t, fmt.Sprintf("node_run-%d", node2), list.at(t, "items", 0, "id"))
	require.Equal(t, []any{"lost", "it broke"}, []any{list.at(t, "items", 0, "code"), list.at(t, "items", 0, "message")})
	require.Len(t, b.admin(t, http.StatusOK, http.MethodGet, path+"?code=exit", nil).at(t, "items"), 1)
	page := b.admin(t, http.StatusOK, http.MethodGet, path+"?limit=1", nil)
	cursor, _ := page.at(t, "next_cursor").(string)
	require.Equal(t, fmt.Sprintf("node_run-%d", node1), b.admin(t, http.StatusOK, http.MethodGet, path+"?limit=1&cursor="+cursor, nil).at(t, "items", 0, "id"))

	b.do(t, http.MethodPost, path+"/retry", map[string]any{"filter": map[string]any{}}, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	for _, body := range []string{`{}`, `{"ids":["node_run-1"],"filter":{}}`} {
		b.do(t, http.MethodPost, path+"/retry", body, b.as(auth.Admin)).problem(t, http.StatusUnprocessableEntity, "invalid", "queue.retry_what")
	}
	b.do(t, http.MethodPost, path+"/retry", `{"ids":["x"]}`, b.as(auth.Admin)).problem(t, http.StatusUnprocessableEntity, "invalid", "queue.dead_id")

	first := fmt.Sprintf("node_run-%d", node1)
	got := b.do(t, http.MethodPost, path+"/retry", map[string]any{"ids": []string{first, "node_run-999999"}}, b.as(auth.Editor))
	require.Equal(t, http.StatusOK, got.status, got.raw)
	require.Equal(t, []string{"1", "0", "1"}, []string{got.id(t, "retried"), got.id(t, "already_retried"), got.id(t, "refused")})
	require.Equal(t, "queue.not_dead", got.at(t, "items", 0, "reason"))
	again := got.id(t, "items", 1, "flowchart_run_id")
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM flowchart_run WHERE retry_of = $1`, run1))

	got = b.admin(t, http.StatusOK, http.MethodPost, path+"/retry", map[string]any{"ids": []string{first}})
	require.Equal(t, "already_retried", got.at(t, "items", 0, "outcome"))
	require.Equal(t, again, got.id(t, "items", 0, "flowchart_run_id"))
	got = b.admin(t, http.StatusOK, http.MethodPost, path+"/retry", map[string]any{"filter": map[string]any{}})
	require.Equal(t, "1", got.id(t, "retried"), "what was retried already is not selected")
	require.Equal(t, false, got.at(t, "more"))
	require.Empty(t, b.admin(t, http.StatusOK, http.MethodGet, path+"?pending=true", nil).at(t, "items"))
	require.Len(t, b.admin(t, http.StatusOK, http.MethodGet, path, nil).at(t, "items"), 2)
	require.Contains(t, b.audited(t), "queue.dead_retried "+queue.Default)
}

// withRiver mounts River's page.
func withRiver(t *testing.T) option {
	t.Helper()
	return func(b *testBundle, d *httpapi.Deps) {
		jobs, err := queue.NewClient(queue.Options{DB: b.db, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ui, err := riverui.NewHandler(&riverui.HandlerOpts{
			Endpoints: riverui.NewEndpoints(jobs.River(), nil), Logger: slog.New(slog.DiscardHandler), Prefix: "/api/river",
		})
		require.NoError(t, err)
		require.NoError(t, ui.Start(t.Context()))
		d.River = ui
		d.Proxy = proxyfix.New(proxyfix.Options{Hops: proxyfix.Hops{Prefix: 1}})
	}
}

func TestRiversPageIsForAdministrators(t *testing.T) {
	t.Parallel()
	b := setup(t, withRiver(t))
	html := header{"Accept", "text/html"}
	b.do(t, http.MethodGet, "/api/river/", nil, html).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.required")
	b.do(t, http.MethodGet, "/api/river/", nil, html, b.as(auth.Editor)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	b.do(t, http.MethodGet, "/api/river/api/jobs", nil, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	require.Equal(t, "/api/river/", b.admin(t, http.StatusFound, http.MethodGet, "/api/river", nil).header.Get("Location"))

	page := b.admin(t, http.StatusOK, http.MethodGet, "/api/river/", nil, html)
	require.Contains(t, page.raw, `src="/api/river/assets/`)
	require.NotEmpty(t, page.header.Get("Content-Security-Policy"))
	deep := b.admin(t, http.StatusOK, http.MethodGet, "/api/river/jobs?state=running", nil, html)
	require.Equal(t, page.raw, deep.raw, "its addresses lead into the page")
	_, asset, _ := strings.Cut(page.raw, `src="`)
	asset, _, _ = strings.Cut(asset, `"`)
	require.Contains(t, b.admin(t, http.StatusOK, http.MethodGet, asset, nil).header.Get("Content-Type"), "javascript")

	mounted := b.admin(t, http.StatusOK, http.MethodGet, "/api/river/", nil, html, header{"X-Forwarded-Prefix", "/studio"})
	require.Contains(t, mounted.raw, `src="/studio/api/river/assets/`)
	require.Contains(t, mounted.raw, `/studio/api/river/api"`)
	require.NotContains(t, mounted.raw, `"/api/river`)

	for _, path := range []string{"/api/river/nothing", "/api/river/api", "/api/river/api/nothing", "/api/riverside"} {
		b.do(t, http.MethodGet, path, nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "request.unknown_path")
	}
}

func TestChangesOnRiversPageAreNotedAndPausesGoOurWay(t *testing.T) {
	t.Parallel()
	b := setup(t, withRiver(t))
	b.admin(t, http.StatusOK, http.MethodGet, "/api/river/api/queues?limit=20", nil)
	b.admin(t, http.StatusOK, http.MethodPut, "/api/river/api/queues/llmctl_studio-rag-git/pause", nil)
	require.NotNil(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/"+queue.RAGGit, nil).at(t, "paused"))
	b.admin(t, http.StatusOK, http.MethodPut, "/api/river/api/queues/llmctl_studio-rag-git/resume", nil)
	require.Nil(t, b.admin(t, http.StatusOK, http.MethodGet, "/api/queues/"+queue.RAGGit, nil).at(t, "paused"))
	b.do(t, http.MethodPut, "/api/river/api/queues/*/pause", nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "queue.not_found")

	jobs, err := queue.NewClient(queue.Options{DB: b.db, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, b.db.InTx(t.Context(), func(ctx context.Context, tx *postgres.Tx) error {
		return jobs.Insert(ctx, tx, []queue.Pointer{{Kind: "thing", ID: 1, Queue: queue.Default}})
	}))
	var id int64
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT id FROM river_job`).Scan(&id))
	b.admin(t, http.StatusOK, http.MethodPost, "/api/river/api/jobs/cancel", fmt.Sprintf(`{"ids":["%d"]}`, id))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM river_job WHERE state = 'cancelled'`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM audit_event WHERE action = 'river.changed' AND detail->>'path' = '/jobs/cancel'`))
	require.Contains(t, b.audited(t), "queue.paused "+queue.RAGGit)

	large := b.do(t, http.MethodPost, "/api/river/api/jobs/cancel", strings.Repeat(" ", 65<<10), b.as(auth.Admin))
	large.problem(t, http.StatusRequestEntityTooLarge, "too_large", "request.too_large")
}

func TestRiversPageTakesNoWritesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	b := setup(t, withRiver(t))
	login := b.do(t, http.MethodPost, "/api/auth/login", map[string]any{"email": adminEmail, "password": password})
	cookie, _, _ := strings.Cut(login.header.Get("Set-Cookie"), ";")
	client := &http.Client{Timeout: 10 * time.Second}
	send := func(site string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, b.url+"/api/river/api/queues/llmctl_studio/pause", http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Cookie", cookie)
		req.Header.Set("Sec-Fetch-Site", site)
		res, err := client.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, http.StatusForbidden, send("cross-site"))
	require.Equal(t, http.StatusOK, send("same-origin"))
}
