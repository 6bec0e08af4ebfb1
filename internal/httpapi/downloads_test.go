package httpapi_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/download"
	"github.com/llmctl/studio/internal/download/hub"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/secret"
	"github.com/llmctl/studio/internal/testkit/hubtest"
)

func (noJobs) Enqueue(context.Context, *postgres.Tx, []download.Pointer) error { return nil }

// withHub gives the API a hub with one model.
func withHub(t *testing.T, service **download.Service) option {
	t.Helper()
	h := hubtest.New(&hubtest.Repo{ID: "o/m", Files: []hubtest.File{
		{Path: "config.json", Content: []byte("{}")}, {Path: "model.bin", LFS: true, Size: 100 << 10, Seed: 1},
	}})
	t.Cleanup(h.Close)
	return func(b *testBundle, d *httpapi.Deps) {
		client, err := hub.New(hub.Options{Endpoint: h.URL, Now: time.Now})
		require.NoError(t, err)
		box, err := secret.New(bytes.Repeat([]byte{7}, secret.KeySize))
		require.NoError(t, err)
		d.Downloads = download.New(download.Options{
			DB: b.db, Log: event.NewLog(nil, time.Now), Queue: noJobs{}, Seal: box, Fingerprint: secret.Fingerprint, Hub: client,
			DataDir: t.TempDir(), Reserve: 1, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		})
		*service = d.Downloads
	}
}

func (b *testBundle) work(t *testing.T, s *download.Service, id int64) {
	t.Helper()
	worker := uuid.New()
	_, err := b.db.Exec(t.Context(), `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues) VALUES ($1, 't', 'h', 1, 't', 1, '{}')`, worker)
	require.NoError(t, err)
	download.NewWorker(s, download.WorkerOptions{ID: worker, Fresh: func() bool { return true }, Logger: slog.New(slog.DiscardHandler)}).Work(t.Context(), id)
}

func TestADownloadIsPlannedCreatedShownAndDeletedOverTheAPI(t *testing.T) {
	t.Parallel()
	var s *download.Service
	b := setup(t, withHub(t, &s))
	plan := b.admin(t, http.StatusOK, http.MethodPost, "/api/downloads/plan", `{"repo_id":"o/m","exclude":["*.json"]}`)
	require.Equal(t, true, plan.at(t, "fits"))
	require.Equal(t, false, plan.at(t, "files", 0, "selected"))
	require.Equal(t, "102400", plan.id(t, "bytes_to_fetch"))

	made := b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/m","token":"hf_abcdefghijklmnopqrstuvwxyz"}`, b.as(auth.Editor))
	require.Equal(t, http.StatusAccepted, made.status, made.raw)
	require.Equal(t, true, made.at(t, "created"))
	require.Equal(t, "queued", made.at(t, "status"))
	require.NotContains(t, made.raw, "hf_abcdef")
	require.Equal(t, `"1"`, made.header.Get("ETag"))
	again := b.admin(t, http.StatusOK, http.MethodPost, "/api/downloads", `{"repo_id":"o/m"}`)
	require.Equal(t, false, again.at(t, "created"))
	require.Equal(t, made.id(t, "id"), again.id(t, "id"))
	path := "/api/downloads/" + made.id(t, "id")

	b.do(t, http.MethodPost, path+"/pause", nil, b.as(auth.Editor), header{"If-Match", `"7"`}).problem(t, http.StatusPreconditionFailed, "precondition", "download.stale")
	paused := b.admin(t, http.StatusAccepted, http.MethodPost, path+"/pause", nil)
	require.Equal(t, "paused", paused.at(t, "status"))
	require.Equal(t, "pause", paused.at(t, "order", "asked"))
	require.Equal(t, true, paused.at(t, "order", "confirmed"))
	b.do(t, http.MethodDelete, path, nil, b.as(auth.Admin)).problem(t, http.StatusConflict, "conflict", "download.active")
	b.admin(t, http.StatusAccepted, http.MethodPost, path+"/resume", nil)
	b.work(t, s, 1)

	shown := b.admin(t, http.StatusOK, http.MethodGet, path, nil)
	require.Equal(t, "succeeded", shown.at(t, "status"), shown.raw)
	require.Equal(t, "succeeded", shown.at(t, "files", 1, "status"))
	require.Equal(t, "h", shown.at(t, "attempts", 0, "worker"))
	require.Equal(t, "download_job:1", shown.at(t, "as_of", "stream"))
	types := b.events(t, "download_job:1")
	require.Equal(t, "download:job:completed", types[len(types)-1])
	require.Len(t, types, mustInt(t, shown.id(t, "as_of", "sequence")))

	list := b.admin(t, http.StatusOK, http.MethodGet, "/api/downloads?status=succeeded", nil)
	require.Equal(t, "o/m", list.at(t, "items", 0, "repo_id"))
	b.do(t, http.MethodPost, path+"/cancel", nil, b.as(auth.Admin)).problem(t, http.StatusConflict, "conflict", "download.finished")
	b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/m"}`, b.as(auth.Admin)).problem(t, http.StatusConflict, "conflict", "download.present")

	gone := b.admin(t, http.StatusAccepted, http.MethodDelete, path+"?files=true", nil)
	require.Equal(t, false, gone.at(t, "confirmed"))
	require.Equal(t, "102402", gone.id(t, "bytes"))
	b.do(t, http.MethodGet, path, nil, b.as(auth.Admin)).problem(t, http.StatusNotFound, "not_found", "download.not_found")
	b.work(t, s, 1)
	require.Zero(t, b.count(t, `SELECT count(*) FROM download_job`))
	require.Equal(t, 4, b.count(t, `SELECT count(*) FROM audit_event WHERE entity_kind = 'download_job'`), "created, paused, resumed, deleted")
}

func mustInt(t *testing.T, text string) int {
	t.Helper()
	n := 0
	for _, c := range text {
		require.True(t, c >= '0' && c <= '9')
		n = n*10 + int(c-'0')
	}
	return n
}

func TestDownloadsAreMadeOnceForAKeyAndByThoseWhoMay(t *testing.T) {
	t.Parallel()
	var s *download.Service
	b := setup(t, withHub(t, &s))
	key := header{"Idempotency-Key", "k"}
	first := b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/m"}`, key, b.as(auth.Editor))
	again := b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/m"}`, key, b.as(auth.Editor))
	require.Equal(t, http.StatusAccepted, again.status)
	require.JSONEq(t, first.raw, again.raw)
	require.Equal(t, first.header.Get("ETag"), again.header.Get("ETag"))
	b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/n"}`, key, b.as(auth.Editor)).problem(t, http.StatusConflict, "conflict", "idempotency.mismatch")
	b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/m"}`, b.as(auth.Viewer)).problem(t, http.StatusForbidden, "forbidden", "auth.forbidden")
	bad := b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/../m","include":[""]}`, b.as(auth.Editor))
	bad.problem(t, http.StatusUnprocessableEntity, "invalid", "download.invalid")
	require.Equal(t, "body.include[0]", bad.at(t, "errors", 0, "location"))
	none := b.do(t, http.MethodPost, "/api/downloads", `{"repo_id":"o/none"}`, b.as(auth.Editor))
	none.problem(t, http.StatusUnprocessableEntity, "invalid", "download.repo_not_found")
}
