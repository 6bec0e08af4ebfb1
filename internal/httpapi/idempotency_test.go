package httpapi_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

func TestTheSameKeyGivesTheSameAnswer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "runs")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes)
	provider := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"p","kind":"demo"}`).id(t, "id")
	for _, c := range []struct{ method, path, body, other, table string }{
		{http.MethodPost, "/api/flowcharts", `{"name":"x"}`, `{"name":"y"}`, "flowchart"},
		{http.MethodPut, path + "/graph", twoNodes, `{"nodes":[{"id":"a","kind":"start"}],"edges":[]}`, "flowchart_version"},
		{http.MethodPost, path + "/runs", `{"input":{"n":1}}`, `{"input":{"n":2}}`, "flowchart_run"},
		{http.MethodPost, "/api/providers", `{"name":"q","kind":"demo"}`, `{"name":"r","kind":"demo"}`, "provider"},
		{http.MethodPost, "/api/models", `{"name":"m","provider_id":` + provider + `,"model":"demo"}`, `{"name":"n","provider_id":` + provider + `,"model":"demo"}`, "model"},
	} {
		key := header{"Idempotency-Key", "key of " + c.table}
		first := b.do(t, c.method, c.path, c.body, key, b.as(auth.Admin))
		require.Less(t, first.status, 300, "%s: %s", c.path, first.raw)
		n := b.count(t, `SELECT count(*) FROM `+c.table)
		again := b.do(t, c.method, c.path, c.body, key, b.as(auth.Admin))
		require.Equal(t, first.status, again.status, c.path)
		require.JSONEq(t, first.raw, again.raw, c.path)
		require.Equal(t, first.header.Get("ETag"), again.header.Get("ETag"), c.path)
		require.Equal(t, n, b.count(t, `SELECT count(*) FROM `+c.table), c.path)
		mismatch := b.do(t, c.method, c.path, c.other, key, b.as(auth.Admin))
		mismatch.problem(t, http.StatusConflict, "conflict", "idempotency.mismatch")
		require.Equal(t, n, b.count(t, `SELECT count(*) FROM `+c.table), c.path)
	}
}

func TestTheAnswerIsTheOneThatWasGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := header{"Idempotency-Key", "k"}
	first := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, key)
	b.admin(t, http.StatusOK, http.MethodPatch, "/api/flowcharts/"+first.id(t, "id"), `{"name":"renamed"}`)
	again := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, key)
	require.JSONEq(t, first.raw, again.raw)
}

func TestKeysBelongToAPersonAndAnOperation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := header{"Idempotency-Key", "k"}
	first := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, key)
	other := b.do(t, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, key, b.as(auth.Editor))
	require.Equal(t, http.StatusCreated, other.status)
	require.NotEqual(t, first.id(t, "id"), other.id(t, "id"))
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/flowcharts/"+first.id(t, "id")+"/duplicate", nil, key)
}

func TestARequestThatFailedMayBeRepeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := header{"Idempotency-Key", "k"}
	body := `{"name":"m","provider_id":1,"model":"demo"}`
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/models", body, key)
	provider := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"p","kind":"demo"}`).id(t, "id")
	require.Equal(t, "1", provider, "the one that was missing")
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/models", body, key)
}

func TestAnExpiredKeyIsFree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := header{"Idempotency-Key", "k"}
	first := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, key)
	_, err := b.db.Exec(t.Context(), `UPDATE idempotency_key SET created_at = now() - interval '25 hours'`)
	require.NoError(t, err)
	second := b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"y"}`, key)
	require.NotEqual(t, first.id(t, "id"), second.id(t, "id"))
}

func TestTheSameKeyAtTheSameTimeActsOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	path := b.flowchart(t, "x")
	b.admin(t, http.StatusOK, http.MethodPut, path+"/graph", twoNodes)
	answers := make([]answer, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			answers[i] = b.do(t, http.MethodPost, path+"/runs", `{}`, header{"Idempotency-Key", "k"}, b.as(auth.Admin))
		})
	}
	all.Wait()
	for _, a := range answers {
		require.Equal(t, http.StatusAccepted, a.status, a.raw)
		require.JSONEq(t, answers[0].raw, a.raw)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM flowchart_run`))
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM audit_event WHERE action = 'run.started'`))
}

func TestAKeyThatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := make([]byte, 201)
	for i := range long {
		long[i] = 'k'
	}
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, header{"Idempotency-Key", string(long)})
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, header{"Idempotency-Key", "a\xff"}).
		problem(t, http.StatusUnprocessableEntity, "invalid", "request.invalid_text")
}
