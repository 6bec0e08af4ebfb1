package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
)

// login signs the admin in and gives the cookie as a browser would send it.
func (b *testBundle) login(t *testing.T) header {
	t.Helper()
	res := b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password})
	require.Equal(t, http.StatusOK, res.status, res.raw)
	value, _, _ := strings.Cut(res.header.Get("Set-Cookie"), ";")
	return header{"Cookie", value}
}

func TestLoginSetsACookieThatLogoutEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password})
	require.Equal(t, http.StatusOK, res.status)
	require.Equal(t, adminEmail, res.at(t, "user", "email"))
	require.Equal(t, "admin", res.at(t, "user", "role"))
	set := res.header.Get("Set-Cookie")
	require.Regexp(t, `^llmctl_session=[A-Za-z0-9_-]{43}; Path=/; Max-Age=1209600; HttpOnly; SameSite=Lax$`, set, "no Secure on plain HTTP")
	value, _, _ := strings.Cut(set, ";")
	session := header{"Cookie", value}

	me := b.do(t, http.MethodGet, "/api/auth/me", nil, session)
	require.Equal(t, adminEmail, me.at(t, "user", "email"))
	out := b.do(t, http.MethodPost, "/api/auth/logout", nil, session)
	require.Equal(t, http.StatusNoContent, out.status)
	require.Contains(t, out.header.Get("Set-Cookie"), "Max-Age=0")
	b.do(t, http.MethodGet, "/api/auth/me", nil, session).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.session_ended")
}

func TestFailedLoginsAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t)
	wrong := map[string]string{"email": adminEmail, "password": "wrong password"}
	unknown := map[string]string{"email": "nobody@example.com", "password": "wrong password"}
	first := b.do(t, http.MethodPost, "/api/auth/login", wrong)
	first.problem(t, http.StatusUnauthorized, "unauthenticated", "auth.wrong_credentials")
	other := b.do(t, http.MethodPost, "/api/auth/login", unknown)
	require.Equal(t, first.body["detail"], other.body["detail"], "it does not tell who exists")
	for range 8 {
		b.do(t, http.MethodPost, "/api/auth/login", wrong)
	}
	res := b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password})
	res.problem(t, http.StatusTooManyRequests, "rate_limited", "auth.too_many_failures")
	require.Regexp(t, `^[1-9][0-9]*$`, res.header.Get("Retry-After"))
}

func TestSetup(t *testing.T) {
	t.Parallel()
	full := setup(t)
	b := &testBundle{db: full.db, log: full.log, calls: full.calls}
	_, err := b.db.Exec(t.Context(), `TRUNCATE app_user CASCADE`)
	require.NoError(t, err)
	b.start(t)
	token, err := b.auth.EnsureSetup(t.Context())
	require.NoError(t, err)
	request := map[string]string{"token": "guess", "email": "first@example.com", "password": password}
	b.do(t, http.MethodPost, "/api/auth/setup", request).problem(t, http.StatusForbidden, "forbidden", "auth.setup_token")
	request["token"] = token
	res := b.do(t, http.MethodPost, "/api/auth/setup", request)
	require.Equal(t, http.StatusOK, res.status, res.raw)
	require.Contains(t, res.header.Get("Set-Cookie"), "llmctl_session=")
	require.Equal(t, "admin", res.at(t, "user", "role"))
	b.do(t, http.MethodPost, "/api/auth/setup", request).problem(t, http.StatusForbidden, "forbidden", "auth.setup_token")
}

func TestAPIKeysOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	session := b.login(t)
	b.do(t, http.MethodPost, "/api/api-keys", `{"name":"x"}`, b.as(auth.Admin)).problem(t, http.StatusForbidden, "forbidden", "auth.key_by_key")
	res := b.do(t, http.MethodPost, "/api/api-keys", `{"name":"ci"}`, session)
	require.Equal(t, http.StatusCreated, res.status, res.raw)
	key, ok := res.at(t, "key").(string)
	require.True(t, ok)
	id := res.id(t, "api_key", "id")
	bearer := header{"Authorization", "Bearer " + key}
	require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, "/api/auth/me", nil, bearer).status)

	list := b.do(t, http.MethodGet, "/api/api-keys", nil, session)
	require.Len(t, list.at(t, "items"), 2)
	require.NotContains(t, list.raw, key, "shown once")
	require.NotNil(t, list.at(t, "items", 0, "last_used_at"))

	b.do(t, http.MethodDelete, "/api/api-keys/"+id, nil, b.as(auth.Viewer)).problem(t, http.StatusNotFound, "not_found", "auth.key_not_found")
	require.Equal(t, http.StatusNoContent, b.do(t, http.MethodDelete, "/api/api-keys/"+id, nil, session).status)
	b.do(t, http.MethodGet, "/api/auth/me", nil, bearer).problem(t, http.StatusUnauthorized, "unauthenticated", "auth.unknown_key")
}

func TestUsersOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.admin(t, http.StatusCreated, http.MethodPost, "/api/users", map[string]string{"email": "bob@example.com", "password": password, "role": "viewer"})
	path := "/api/users/" + res.id(t, "id")
	require.NotContains(t, res.raw, "argon2", "the hash stays inside")
	b.admin(t, http.StatusConflict, http.MethodPost, "/api/users", map[string]string{"email": "BOB@example.com", "password": password, "role": "viewer"})
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/users", map[string]string{"email": "x@example.com", "password": "short", "role": "viewer"})
	b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/users", map[string]string{"email": "x@example.com", "password": password, "role": "owner"})

	res = b.admin(t, http.StatusOK, http.MethodPatch, path, `{"role":"editor","disabled":true}`)
	require.Equal(t, "editor", res.at(t, "role"))
	require.NotNil(t, res.at(t, "disabled_at"))
	require.Equal(t, "editor", b.admin(t, http.StatusOK, http.MethodGet, path, nil).at(t, "role"))
	me := b.admin(t, http.StatusOK, http.MethodGet, "/api/auth/me", nil).id(t, "user", "id")
	b.admin(t, http.StatusConflict, http.MethodPatch, "/api/users/"+me, `{"role":"viewer"}`).problem(t, http.StatusConflict, "conflict", "auth.last_admin")

	page := b.admin(t, http.StatusOK, http.MethodGet, "/api/users?limit=3", nil)
	require.Len(t, page.at(t, "items"), 3)
	next := b.admin(t, http.StatusOK, http.MethodGet, "/api/users?limit=3&cursor="+page.at(t, "next_cursor").(string), nil)
	require.Len(t, next.at(t, "items"), 1)
	require.Nil(t, next.at(t, "next_cursor"))
}

func TestAuditEventsOverHTTP(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`)
	res := b.admin(t, http.StatusOK, http.MethodGet, "/api/audit-events?limit=1", nil)
	require.Equal(t, "flowchart.created", res.at(t, "items", 0, "action"))
	require.Equal(t, adminEmail, res.at(t, "items", 0, "email"))
	require.NotNil(t, res.at(t, "next_cursor"))
	res = b.admin(t, http.StatusOK, http.MethodGet, "/api/audit-events?action=api_key.created", nil)
	require.Len(t, res.at(t, "items"), 3)
}

// Who asks is unknown while the database does not answer; that is no reason to sign
// anybody out, nor to say what went wrong.
func TestUnreachableDatabaseIsNotAFailedSignIn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	key := b.as(auth.Admin)
	b.db.Close()
	for name, h := range map[string]header{"key": key, "session": {"Cookie", auth.Cookie + "=x"}} {
		a := b.do(t, "GET", "/api/flowcharts", nil, h)
		require.GreaterOrEqual(t, a.status, 500, "%s: %s", name, a.raw)
		require.NotContains(t, a.raw, "pool", name)
	}
}
