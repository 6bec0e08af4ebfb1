package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

const apiKey = "sk-test-0123456789abcdef0123"

func TestProviderLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers",
		map[string]string{"name": "local", "kind": "openai", "base_url": "http://localhost:8000/v1", "api_key": apiKey})
	id := res.id(t, "id")
	path := "/api/providers/" + id
	require.Equal(t, true, res.at(t, "api_key_set"))
	require.NotEmpty(t, res.at(t, "api_key_fingerprint"))
	for _, a := range []answer{res, b.admin(t, http.StatusOK, http.MethodGet, path, nil), b.admin(t, http.StatusOK, http.MethodGet, "/api/providers", nil)} {
		require.NotContains(t, a.raw, apiKey, "the key is write-only")
	}
	require.Zero(t, b.count(t, `SELECT count(*) FROM provider WHERE position($1::bytea IN api_key_ciphertext) > 0`, []byte(apiKey)), "and sealed")

	require.Equal(t, true, b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil).at(t, "ok"))
	require.Equal(t, "test local "+apiKey, <-b.calls)
	require.Equal(t, "m1", b.admin(t, http.StatusOK, http.MethodGet, path+"/models", nil).at(t, "items", 0, "id"))
	require.Equal(t, "models local "+apiKey, <-b.calls)

	res = b.admin(t, http.StatusOK, http.MethodPatch, path, `{"name":"broken"}`, header{"If-Match", res.header.Get("ETag")})
	require.Equal(t, true, res.at(t, "api_key_set"), "an absent key stays")
	require.Equal(t, false, b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil).at(t, "ok"))
	b.admin(t, http.StatusServiceUnavailable, http.MethodGet, path+"/models", nil).problem(t, http.StatusServiceUnavailable, "unavailable", "provider.unavailable")
	stale := b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"name":"x"}`, header{"If-Match", `"1"`})
	stale.problem(t, http.StatusPreconditionFailed, "precondition", "provider.stale")
	res = b.admin(t, http.StatusOK, http.MethodPatch, path, `{"api_key":""}`)
	require.Equal(t, false, res.at(t, "api_key_set"), "an empty key removes")
	require.Empty(t, res.at(t, "api_key_fingerprint"))

	b.admin(t, http.StatusNoContent, http.MethodDelete, path, nil)
	b.admin(t, http.StatusNotFound, http.MethodDelete, path, nil).problem(t, http.StatusNotFound, "not_found", "provider.not_found")
	require.Equal(t, []string{"config:provider:created", "config:provider:updated", "config:provider:updated", "config:provider:deleted"}, b.events(t, "config:provider:"+id))
	for _, action := range []string{"created", "updated", "deleted"} {
		require.Contains(t, b.audited(t), "provider."+action+" "+id)
	}
}

func TestAKeyDoesNotFollowAProviderToAnotherOrigin(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers",
		map[string]string{"name": "p", "kind": "openai", "base_url": "https://good.example/v1", "api_key": apiKey}).id(t, "id")
	path := "/api/providers/" + id
	patch := func(body string) answer { return b.admin(t, http.StatusOK, http.MethodPatch, path, body) }
	detail := func() any {
		return b.admin(t, http.StatusOK, http.MethodGet, "/api/audit-events?action=provider.updated&limit=1", nil).at(t, "items", 0, "detail")
	}

	res := patch(`{"base_url":"https://GOOD.example:443/v2"}`)
	require.Equal(t, true, res.at(t, "api_key_set"), "the same origin")
	require.Equal(t, false, res.at(t, "api_key_removed"))
	require.Nil(t, detail())

	res = patch(`{"base_url":"https://evil.example/v1"}`)
	require.Equal(t, false, res.at(t, "api_key_set"))
	require.Equal(t, true, res.at(t, "api_key_removed"))
	require.Contains(t, res.at(t, "notice"), "from https://good.example:443 to https://evil.example:443")
	require.Contains(t, fmt.Sprint(detail()), "removed: base_url moved")
	b.admin(t, http.StatusOK, http.MethodPost, path+"/test", nil)
	require.Equal(t, "test p ", <-b.calls, "the new address is asked without the key")

	res = patch(`{"base_url":"https://good.example/v1"}`)
	require.Equal(t, false, res.at(t, "api_key_set"), "coming back does not bring it back")
	require.Equal(t, false, res.at(t, "api_key_removed"), "there was none")

	res = patch(`{"base_url":"https://other.example/v1","api_key":"sk-other-0123456789abcdef01"}`)
	require.Equal(t, true, res.at(t, "api_key_set"), "a new key comes along")
	require.Equal(t, false, res.at(t, "api_key_removed"))
	require.Contains(t, fmt.Sprint(detail()), "api_key:set")

	require.Equal(t, true, patch(`{"base_url":""}`).at(t, "api_key_removed"), "the provider's own address is another origin")
}

func TestProvidersThatCannotBe(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"One","kind":"demo"}`)
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/providers", `{"name":"ONE","kind":"demo"}`).problem(t, http.StatusConflict, "conflict", "provider.duplicate_name")
	for _, body := range []string{`{"name":"x","kind":"other"}`, `{"name":"x"}`, `{"name":"x","kind":"openai","base_url":"ftp://x"}`, `{"name":"x","kind":"openai","base_url":"localhost:8000"}`} {
		b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/providers", body)
	}
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM provider`))
}

func TestModelLifecycle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	provider := b.admin(t, http.StatusCreated, http.MethodPost, "/api/providers", `{"name":"p","kind":"demo"}`).id(t, "id")
	body := `{"name":"m","provider_id":` + provider + `,"model":"demo","config":{"temperature":0.5}}`
	res := b.admin(t, http.StatusCreated, http.MethodPost, "/api/models", body)
	id := res.id(t, "id")
	path := "/api/models/" + id
	require.Equal(t, "p", res.at(t, "provider_name"))
	require.Equal(t, "0.5", res.id(t, "config", "temperature"))
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/models", body).problem(t, http.StatusConflict, "conflict", "model.duplicate_name")
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/models", `{"name":"n","provider_id":4711,"model":"demo"}`).
		problem(t, http.StatusUnprocessableEntity, "invalid", "model.unknown_provider")

	res = b.admin(t, http.StatusOK, http.MethodPatch, path, `{"model":"demo-2"}`)
	require.Equal(t, "demo-2", res.at(t, "model"))
	require.Equal(t, "0.5", res.id(t, "config", "temperature"), "what is absent stays")
	b.admin(t, http.StatusPreconditionFailed, http.MethodPatch, path, `{"model":"x"}`, header{"If-Match", `"1"`})
	b.admin(t, http.StatusConflict, http.MethodDelete, "/api/providers/"+provider, nil).problem(t, http.StatusConflict, "conflict", "provider.in_use")
	b.admin(t, http.StatusNoContent, http.MethodDelete, path, nil)
	b.admin(t, http.StatusNotFound, http.MethodGet, path, nil)
	b.admin(t, http.StatusNoContent, http.MethodDelete, "/api/providers/"+provider, nil)
	require.Equal(t, []string{"config:model:created", "config:model:updated", "config:model:deleted"}, b.events(t, "config:model:"+id))
	for _, action := range []string{"created", "updated", "deleted"} {
		require.Contains(t, b.audited(t), "model."+action+" "+id)
	}
}
