package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/auth"
	"github.com/llmctl/studio/internal/httpapi"
)

func TestErrorsHaveOneEnvelope(t *testing.T) {
	t.Parallel()
	b := setup(t)
	big := `{"name":"` + strings.Repeat("x", 9<<20) + `"}`
	for name, c := range map[string]struct {
		method, path string
		body         any
		headers      []header
		status       int
		code, reason string
	}{
		"unknown path, before sign-in": {method: "GET", path: "/api/nothing", status: 404, code: "not_found", reason: "request.unknown_path"},
		"unknown path below a known":   {method: "GET", path: "/api/flowcharts/1/nothing", status: 404, code: "not_found", reason: "request.unknown_path"},
		"the prefix itself":            {method: "GET", path: "/api", status: 404, code: "not_found", reason: "request.unknown_path"},
		"unknown path that wants HTML": {method: "GET", path: "/api/nothing", headers: []header{{"Accept", "text/html"}}, status: 404, code: "not_found", reason: "request.unknown_path"},
		"outside of everything":        {method: "GET", path: "/nothing", status: 404, code: "not_found", reason: "request.unknown_path"},
		"wrong method":                 {method: "DELETE", path: "/api/flowcharts", status: 405, code: "invalid", reason: "request.wrong_method"},
		"wrong method of an open one":  {method: "POST", path: "/api/health", body: "{}", status: 405, code: "invalid", reason: "request.wrong_method"},
		"malformed JSON":               {method: "POST", path: "/api/flowcharts", body: "{", headers: []header{b.as(auth.Admin)}, status: 400, code: "invalid", reason: "request.malformed"},
		"wrong media type":             {method: "POST", path: "/api/flowcharts", body: "name=x", headers: []header{b.as(auth.Admin), {"Content-Type", ""}, {"Content-Type", "text/csv"}}, status: 415, code: "invalid", reason: "request.media_type"},
		"invalid":                      {method: "POST", path: "/api/flowcharts", body: "{}", headers: []header{b.as(auth.Admin)}, status: 422, code: "invalid", reason: "request.invalid"},
		"no such number":               {method: "GET", path: "/api/flowcharts/x", headers: []header{b.as(auth.Admin)}, status: 422, code: "invalid", reason: "request.invalid"},
		"not found":                    {method: "GET", path: "/api/flowcharts/4711", headers: []header{b.as(auth.Admin)}, status: 404, code: "not_found", reason: "flow.not_found"},
		"text that cannot be stored":   {method: "POST", path: "/api/flowcharts", body: `{"name":"a\u0000b"}`, headers: []header{b.as(auth.Admin)}, status: 422, code: "invalid", reason: "request.invalid_text"},
		"too large":                    {method: "POST", path: "/api/flowcharts", body: big, headers: []header{b.as(auth.Admin)}, status: 413, code: "too_large", reason: "request.too_large"},
		"too large for what it is":     {method: "POST", path: "/api/providers", body: big[:2<<20], headers: []header{b.as(auth.Admin)}, status: 413, code: "too_large", reason: "request.too_large"},
		"bad cursor":                   {method: "GET", path: "/api/flowcharts?cursor=zzz", headers: []header{b.as(auth.Admin)}, status: 422, code: "invalid", reason: "request.invalid_cursor"},
		"too many":                     {method: "GET", path: "/api/flowcharts?limit=201", headers: []header{b.as(auth.Admin)}, status: 422, code: "invalid", reason: "request.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := b.do(t, c.method, c.path, c.body, c.headers...)
			res.problem(t, c.status, c.code, c.reason)
			if c.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, res.header.Get("Allow"))
			}
		})
	}
}

func TestValidationNamesThePlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.admin(t, http.StatusUnprocessableEntity, http.MethodPost, "/api/flowcharts", `{"name":"","max_runtime_minutes":0}`)
	require.ElementsMatch(t, []any{"body.name", "body.max_runtime_minutes"},
		[]any{res.at(t, "errors", 0, "location"), res.at(t, "errors", 1, "location")})
	require.Len(t, res.at(t, "errors"), 2)
	require.NotContains(t, res.raw, `"value"`, "what was sent is not echoed: it may be a secret")
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.do(t, http.MethodGet, "/api/nothing", nil, header{"X-Request-ID", "req-1.a_B"}, header{"X-Correlation-ID", "corr-2"})
	require.Equal(t, "req-1.a_B", res.header.Get("X-Request-ID"))
	require.Equal(t, "corr-2", res.header.Get("X-Correlation-ID"))
	require.Equal(t, "req-1.a_B", res.body["request_id"])
	require.Equal(t, "corr-2", res.body["correlation_id"])
	for _, bad := range []string{"", "has space", "a/b", strings.Repeat("x", 129), "ü"} {
		res := b.do(t, http.MethodGet, "/api/health", nil, header{"X-Request-ID", bad})
		require.Equal(t, http.StatusOK, res.status)
		require.Regexp(t, `^[0-9a-f-]{36}$`, res.header.Get("X-Request-ID"), bad)
		require.NotEmpty(t, res.header.Get("X-Correlation-ID"))
	}
	b.admin(t, http.StatusCreated, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, header{"X-Request-ID", "req-audited"})
	require.Equal(t, 1, b.count(t, `SELECT count(*) FROM audit_event WHERE request_id = 'req-audited' AND action = 'flowchart.created'`))
}

func TestAnswersCarrySecurityHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, path := range []string{"/api/health", "/api/nothing", "/web/"} {
		h := b.do(t, http.MethodGet, path, nil).header
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), path)
		require.Equal(t, "DENY", h.Get("X-Frame-Options"), path)
		require.Equal(t, "no-store", h.Get("Cache-Control"), path)
	}
}

func TestHealthAndReady(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, true, b.do(t, http.MethodGet, "/api/health", nil).body["ok"])
	require.Equal(t, http.StatusOK, b.do(t, http.MethodHead, "/api/health", nil).status)
	require.Equal(t, true, b.do(t, http.MethodGet, "/api/ready", nil).body["ready"])

	broken := &testBundle{db: b.db, log: b.log, calls: b.calls, ready: []string{"the bus is down"}}
	broken.start(t)
	res := broken.do(t, http.MethodGet, "/api/ready", nil)
	require.Equal(t, http.StatusServiceUnavailable, res.status)
	require.Equal(t, "the bus is down", res.at(t, "reasons", 0))
	require.Equal(t, http.StatusOK, broken.do(t, http.MethodGet, "/api/health", nil).status, "it lives")
}

func TestPanicsBecomeA500ThatSaysNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) {
		d.Sockets = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/socket.io/abort" {
				panic(http.ErrAbortHandler)
			}
			panic("a secret detail")
		})
	})
	res := b.do(t, http.MethodGet, "/socket.io/", nil, header{"X-Request-ID", "the-panic"})
	res.problem(t, http.StatusInternalServerError, "internal", "internal")
	require.NotContains(t, res.raw, "secret detail")
	for {
		line := <-b.log.lines
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &entry))
		if entry["request_id"] == "the-panic" {
			require.Equal(t, "ERROR", entry["level"])
			require.Contains(t, entry["error"], "a secret detail")
			break
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.url+"/socket.io/abort", http.NoBody)
	require.NoError(t, err)
	response, err := (&http.Client{}).Do(req)
	if err == nil {
		_ = response.Body.Close()
	}
	require.Error(t, err, "a handler that aborts the connection is not answered")
}

func TestOtherOriginsCannotUseTheCookie(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) {
		d.Sockets = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})
	session := b.login(t)
	cross := []header{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}}
	res := b.do(t, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, append(cross, session)...)
	res.problem(t, http.StatusForbidden, "forbidden", "request.cross_origin")
	res = b.do(t, http.MethodPost, "/api/auth/login", `{"email":"a@b","password":"x"}`, cross...)
	res.problem(t, http.StatusForbidden, "forbidden", "request.cross_origin")
	require.Zero(t, b.count(t, `SELECT count(*) FROM flowchart`))

	same := []header{{"Sec-Fetch-Site", "same-origin"}, session}
	require.Equal(t, http.StatusCreated, b.do(t, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, same...).status)
	res = b.do(t, http.MethodPost, "/api/flowcharts", `{"name":"x"}`, append(cross, b.as(auth.Admin))...)
	require.Equal(t, http.StatusCreated, res.status, "an API key is no cookie")
	for _, path := range []string{"/socket.io/", "/api/socket.io/"} {
		res = b.do(t, http.MethodPost, path, "4", cross...)
		require.Equal(t, http.StatusNoContent, res.status, "sockets have a policy of their own")
	}
	res = b.do(t, http.MethodPost, "/socket.iox", "4", cross...)
	require.Equal(t, http.StatusForbidden, res.status, "a name that begins alike is not theirs")
}

func TestAccessLogNamesTheRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.do(t, http.MethodGet, "/api/nothing?secret=1", nil, header{"X-Request-ID", "logged"})
	for {
		var entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(<-b.log.lines), &entry))
		if entry["request_id"] != "logged" {
			continue
		}
		require.Equal(t, "/api/nothing", entry["path"])
		require.InDelta(t, http.StatusNotFound, entry["status"], 0)
		require.NotContains(t, entry, "error")
		return
	}
}
