package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/httpapi"
	"github.com/llmctl/studio/internal/serving/proxyfix"
)

// mounted is an API that trusts one proxy for every header.
func mounted(_ *testBundle, d *httpapi.Deps) {
	d.Proxy = proxyfix.New(proxyfix.Options{
		Hops: proxyfix.Hops{For: 1, Proto: 1, Host: 1, Port: 1, Prefix: 1}, Own: []string{"/api", "/web", "/socket.io"},
	})
}

func proxied(more ...header) []header {
	return append([]header{
		{"X-Forwarded-For", "192.0.2.7"},
		{"X-Forwarded-Proto", "https"},
		{"X-Forwarded-Host", "studio.example"},
		{"X-Forwarded-Prefix", "/studio"},
	}, more...)
}

func TestEverythingWorksBelowAPrefixOfTheProxy(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	for name, kept := range map[string]string{"stripped": "", "kept": "/studio"} {
		for _, c := range []struct {
			path, accept  string
			status        int
			header, value string
		}{
			{"/", "text/html", 302, "Location", "/studio/web/"},
			{"/web", "text/html", 302, "Location", "/studio/web/"},
			{"/web/", "text/html", 200, "Content-Type", "text/html; charset=utf-8"},
			{"/web/flowcharts/7", "text/html", 200, "Content-Type", "text/html; charset=utf-8"},
			{"/web/assets/app-1a2b.js", "*/*", 200, "Cache-Control", "public, max-age=31536000, immutable"},
			{"/api/health", "", 200, "Cache-Control", "no-store"},
			{"/web//x", "text/html", 307, "Location", "/studio/web/x"},
			{"/api/x/../health?a=1", "", 307, "Location", "/studio/api/health?a=1"},
			{"/nothing", "text/html", 404, "Content-Type", "application/problem+json"},
			{"/api/nothing", "text/html", 404, "Content-Type", "application/problem+json"},
		} {
			t.Run(name+c.path, func(t *testing.T) {
				t.Parallel()
				res := b.do(t, http.MethodGet, kept+c.path, nil, proxied(header{"Accept", c.accept})...)
				require.Equal(t, c.status, res.status, res.raw)
				require.Equal(t, c.value, res.header.Get(c.header))
				if c.status == 404 {
					require.Contains(t, res.raw, "/studio"+c.path)
					require.Contains(t, res.raw, "/studio/api/docs")
				}
			})
		}
	}
	require.Equal(t, 302, b.do(t, http.MethodGet, "/studio", nil, proxied()...).status)
}

func TestPageIsToldThePrefixOfItsRequest(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	for prefix, headers := range map[string][]header{"/studio": proxied(), "": nil, "/other": proxied(header{"X-Forwarded-Prefix", "/other"})} {
		res := b.do(t, http.MethodGet, "/web/", nil, headers...)
		require.Equal(t, http.StatusOK, res.status)
		found := regexp.MustCompile(`<base href="([^"]*)"><script>(window\.__STUDIO__=(.*?))</script>`).FindStringSubmatch(res.raw)
		require.NotNil(t, found, res.raw)
		require.Equal(t, prefix+"/web/", found[1])
		var settings map[string]any
		require.NoError(t, json.Unmarshal([]byte(found[3]), &settings))
		require.Equal(t, prefix+"/web", settings["basePath"])
		require.Equal(t, prefix+"/api", settings["apiBase"])
		require.Equal(t, prefix+"/api/socket.io", settings["socketPath"])
		sum := sha256.Sum256([]byte(found[2]))
		require.Contains(t, res.header.Get("Content-Security-Policy"), "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
}

func TestSessionCookieFitsTheBrowsersConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	login := func(headers ...header) *http.Cookie {
		res := b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password}, headers...)
		require.Equal(t, http.StatusOK, res.status, res.raw)
		cookies := (&http.Response{Header: res.header}).Cookies()
		require.Len(t, cookies, 1)
		return cookies[0]
	}
	direct := login()
	require.False(t, direct.Secure)
	require.Equal(t, "/", direct.Path)

	through := login(proxied()...)
	require.True(t, through.Secure)
	require.Equal(t, "/studio", through.Path)

	cookie := header{"Cookie", through.Name + "=" + through.Value}
	out := b.do(t, http.MethodPost, "/api/auth/logout", nil, proxied(cookie, header{"Origin", "https://studio.example"})...)
	require.Equal(t, http.StatusNoContent, out.status, out.raw)
	gone := (&http.Response{Header: out.header}).Cookies()[0]
	require.Equal(t, "/studio", gone.Path, "another path would be another cookie")
	require.Negative(t, gone.MaxAge)
}

func TestWritesComeFromThePageThatTheBrowserKnows(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	session := b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password})
	cookie := header{"Cookie", strings.Split(session.header.Get("Set-Cookie"), ";")[0]}
	write := func(headers ...header) answer {
		return b.do(t, http.MethodPost, "/api/api-keys", map[string]string{"name": "x"}, headers...)
	}
	require.Equal(t, http.StatusCreated, write(proxied(cookie, header{"Origin", "https://studio.example"})...).status)
	require.Equal(t, http.StatusCreated, write(proxied(cookie, header{"Origin", "https://studio.example"}, header{"X-Forwarded-Port", "443"})...).status)
	for name, headers := range map[string][]header{
		"other host":   proxied(cookie, header{"Origin", "https://evil.example"}),
		"other scheme": proxied(cookie, header{"Origin", "http://studio.example"}),
		"other port":   proxied(cookie, header{"Origin", "https://studio.example:8443"}),
		"inner host":   proxied(cookie, header{"Origin", b.url}),
		"null":         proxied(cookie, header{"Origin", "null"}),
	} {
		res := write(headers...)
		require.Equal(t, http.StatusForbidden, res.status, name)
		require.Equal(t, "request.cross_origin", res.body["reason"], name)
	}
	require.Contains(t, write(proxied(cookie, header{"Origin", "https://evil.example"})...).raw, "https://studio.example")
}

func TestLogInLimitCountsTheClientNotTheProxy(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	attempt := func(client string) int {
		return b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": client + "@example.com", "password": "wrong password"},
			header{"X-Forwarded-For", client}).status
	}
	limited := false
	for i := 0; i < 200 && !limited; i++ {
		limited = attempt("192.0.2.66") == http.StatusTooManyRequests
	}
	require.True(t, limited)
	require.Equal(t, http.StatusUnauthorized, attempt("192.0.2.67"), "another client behind the same proxy is not limited")
}

func TestForwardedHeadersMeanNothingUnlessTrusted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	res := b.do(t, http.MethodGet, "/web", nil, proxied()...)
	require.Equal(t, "/web/", res.header.Get("Location"))
	res = b.do(t, http.MethodPost, "/api/auth/login", map[string]string{"email": adminEmail, "password": password}, proxied()...)
	require.Equal(t, http.StatusOK, res.status)
	require.NotContains(t, res.header.Get("Set-Cookie"), "Secure")
	require.NotContains(t, res.header.Get("Set-Cookie"), "/studio")
}

func TestDescriptionNamesThePrefix(t *testing.T) {
	t.Parallel()
	b := setup(t, mounted)
	key := header{"Authorization", "Bearer " + b.keys["viewer"]}
	res := b.do(t, http.MethodGet, "/api/openapi.json", nil, proxied(key)...)
	require.Equal(t, http.StatusOK, res.status)
	require.Equal(t, "/studio", res.at(t, "servers", 0, "url"))
	require.NotContains(t, b.do(t, http.MethodGet, "/api/openapi.json", nil, key).body, "servers")
	docs := b.do(t, http.MethodGet, "/studio/api/docs", nil, proxied(key)...)
	require.Contains(t, docs.raw, `<a href="/studio/api/openapi.json">`)
	require.Contains(t, docs.raw, `<code>/studio/api/flowcharts</code>`)
}

func TestProcessWithoutThePageSaysWhereItIs(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) { d.NoPage, d.Page = true, nil })
	for _, path := range []string{"/web", "/web/", "/web/flowcharts/7", "/web/assets/app-1a2b.js"} {
		res := b.do(t, http.MethodGet, path, nil, header{"Accept", "text/html"})
		require.Equal(t, http.StatusNotFound, res.status)
		require.Equal(t, "page.elsewhere", res.body["reason"])
		require.Contains(t, res.raw, "--with-web")
	}
	res := b.do(t, http.MethodGet, "/", nil, header{"Accept", "text/html"})
	require.Equal(t, http.StatusNotFound, res.status)
	require.Equal(t, "request.unknown_path", res.body["reason"])
	require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, "/api/health", nil).status)
}
