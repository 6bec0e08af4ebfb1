package proxy

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/freeport"
)

// container runs the frontend image's nginx.conf as it is, but for its addresses and
// folders, before a backend.
func container(t *testing.T, backend string) *site {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx"
	}
	dist, err := filepath.Abs("../../web/dist")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dist, "index.html"), "run `make build` first")
	dir, port := t.TempDir(), freeport.Get(t)
	require.NoError(t, os.Symlink(dist, filepath.Join(dir, "web")))
	raw, err := os.ReadFile("../../docker/frontend/nginx.conf")
	require.NoError(t, err)
	text := string(raw)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "version.conf"), []byte(`map "" $studio_version { default "1.2.3"; }`), 0o600))
	pairs := []string{
		"/etc/nginx/version.conf", dir + "/version.conf",
		"llmctl-studio-backend:5155", backend, "listen 8080;", "listen 127.0.0.1:" + port + ";", "/usr/share/llmctl;", dir + ";",
		"/tmp/", dir + "/", "/dev/stdout", dir + "/access", "/dev/stderr", "stderr",
	}
	for i := 0; i < len(pairs); i += 2 {
		require.Contains(t, text, pairs[i])
	}
	path := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte("user root;\n"+strings.NewReplacer(pairs...).Replace(text)), 0o600))
	p := start(t, nil, program, "-p", dir, "-e", "stderr", "-c", path, "-g", "daemon off;")
	listening(t, "127.0.0.1:"+port, p.log)
	return newSite(t, "http://127.0.0.1:"+port, nil)
}

func TestTheFrontendImagesNginxServesThePageAndPassesTheAPIOn(t *testing.T) {
	t.Parallel()
	s := container(t, serve(t, nil))
	s.works(t)
	res, body := s.do(t, http.MethodGet, "/healthz", "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "ok\n", body)
	_, settings := s.do(t, http.MethodGet, "/web/config.js", "")
	require.Contains(t, settings, `"version":"1.2.3"`)
	res, _ = s.do(t, http.MethodGet, "/web/", "", "Accept", "text/html")
	require.Equal(t, "no-store", res.Header.Get("Cache-Control"))
	res, _ = s.do(t, http.MethodGet, "/web/assets/"+oneAsset(t), "")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "public, max-age=31536000, immutable", res.Header.Get("Cache-Control"))
	for path, want := range map[string]int{
		"/web/assets/gone.js": 404, "/web/.vite/manifest.json": 404, "/metrics": 404, "/static/x.js": 404, "/socket.io/": 404,
	} {
		res, body := s.do(t, http.MethodGet, path, "")
		require.Equal(t, want, res.StatusCode, "%s: %s", path, body)
	}
}

func oneAsset(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("../../web/dist/assets/*.js")
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return filepath.Base(found[0])
}

// The policy in nginx.conf allows no inline script: a browser says when the page needs one.
func TestThePageRunsInABrowserBehindTheFrontendImagesNginx(t *testing.T) {
	t.Parallel()
	s := container(t, serve(t, nil))
	cmd := exec.CommandContext(t.Context(), "node", "browser.mjs", s.base, email, password)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	var seen struct {
		Errors, Failed, Outside, Sockets []string
		URL                              string
	}
	require.NoError(t, json.Unmarshal(out, &seen))
	require.Empty(t, seen.Errors)
	require.Empty(t, seen.Failed)
	require.NotEmpty(t, seen.Sockets)
	require.Equal(t, s.base+"/web/flowcharts", seen.URL)
}
