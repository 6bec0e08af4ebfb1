package httpapi_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/httpapi"
)

func TestPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, c := range map[string]struct {
		method, path, accept string
		status               int
		header, value        string
	}{
		"root":                        {"GET", "/", "text/html", 302, "Location", "/web/"},
		"prefix without slash":        {"GET", "/web", "text/html", 302, "Location", "/web/"},
		"index":                       {"GET", "/web/", "text/html", 200, "Cache-Control", "no-store"},
		"index by its name":           {"GET", "/web/index.html", "text/html", 200, "Cache-Control", "no-store"},
		"an address of the router":    {"GET", "/web/flowcharts/7", "text/html,*/*;q=0.8", 200, "Content-Type", "text/html; charset=utf-8"},
		"a client that accepts all":   {"GET", "/web/", "*/*", 200, "Content-Type", "text/html; charset=utf-8"},
		"a client that says nothing":  {"GET", "/web/", "", 200, "Content-Type", "text/html; charset=utf-8"},
		"head":                        {"HEAD", "/web/x", "text/html", 200, "Content-Type", "text/html; charset=utf-8"},
		"asset":                       {"GET", "/web/assets/app-1a2b.js", "*/*", 200, "Cache-Control", "public, max-age=31536000, immutable"},
		"file without hash":           {"GET", "/web/favicon.svg", "image/*", 200, "Cache-Control", "no-cache"},
		"missing asset":               {"GET", "/web/assets/gone.js", "text/html", 404, "Content-Type", "application/problem+json"},
		"folder":                      {"GET", "/web/assets/", "text/html", 404, "Content-Type", "application/problem+json"},
		"not a page":                  {"GET", "/web/data.json", "application/json", 404, "Content-Type", "application/problem+json"},
		"a write":                     {"POST", "/web/x", "text/html", 405, "Allow", "GET, HEAD"},
		"the API never gets the page": {"GET", "/api/web", "text/html", 404, "Content-Type", "application/problem+json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := b.do(t, c.method, c.path, nil, header{"Accept", c.accept})
			require.Equal(t, c.status, res.status, res.raw)
			require.Equal(t, c.value, res.header.Get(c.header))
		})
	}
}

func TestPageGetsItsSettings(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) {
		d.WebPrefix, d.APIPrefix, d.Version = "/studio/web", "/studio/api", "1</script><b>"
	})
	res := b.do(t, http.MethodGet, "/studio/web/", nil, header{"Accept", "text/html"})
	require.Equal(t, http.StatusOK, res.status)
	found := regexp.MustCompile(`<head lang="en"><base href="/studio/web/"><script>(window\.__STUDIO__=(.*?))</script><title>`).FindStringSubmatch(res.raw)
	require.NotNil(t, found, "in the head, before everything else: %s", res.raw)
	var settings map[string]any
	require.NoError(t, json.Unmarshal([]byte(found[2]), &settings))
	require.Equal(t, map[string]any{
		"basePath": "/studio/web", "apiBase": "/studio/api", "socketPath": "/studio/api/socket.io",
		"transports": []any{"websocket", "polling"}, "version": "1</script><b>",
	}, settings)
	sum := sha256.Sum256([]byte(found[1]))
	csp := res.header.Get("Content-Security-Policy")
	require.Contains(t, csp, "script-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	require.Contains(t, csp, "default-src 'self'")
	require.NotContains(t, csp, "http")
	require.NotContains(t, csp, "'unsafe-eval'")
	require.NotRegexp(t, `script-src[^;]*unsafe-inline`, csp)
}

func TestPageThatIsNotBuilt(t *testing.T) {
	t.Parallel()
	b := setup(t, func(_ *testBundle, d *httpapi.Deps) { d.Page = fstest.MapFS{".gitkeep": {}} })
	res := b.do(t, http.MethodGet, "/web/", nil, header{"Accept", "text/html"})
	require.Equal(t, http.StatusServiceUnavailable, res.status)
	require.Contains(t, res.raw, "make build")
	require.Equal(t, http.StatusOK, b.do(t, http.MethodGet, "/api/health", nil).status, "the API works without it")
}
