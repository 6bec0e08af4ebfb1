package proxy

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/freeport"
)

// The development server as overlays/dev runs it: below /web/, on sources whose changes
// come without file events, before a backend.
func TestTheDevelopmentServerBringsAnEditWithoutARestart(t *testing.T) {
	t.Parallel()
	backend := serve(t, nil)
	dir, port := sources(t), freeport.Get(t)
	cmd := exec.Command("node", filepath.Join(dir, "node_modules/vite/bin/vite.js"), "--port", port, "--strictPort")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "STUDIO_DEV_BACKEND=http://"+backend, "STUDIO_DEV_HOST=127.0.0.1", "STUDIO_DEV_BASE=/web/",
		"STUDIO_DEV_ALLOWED_HOSTS=studio.example.com", "STUDIO_DEV_POLL_INTERVAL=100")
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	s := newSite(t, "http://127.0.0.1:"+port, nil)
	require.Eventually(t, func() bool {
		res, err := s.client.Get(s.base + "/web/")
		return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	}, patience, 100*time.Millisecond)

	_, page := s.do(t, http.MethodGet, "/web/", "", "Accept", "text/html")
	require.Contains(t, page, `"basePath":"/web"`)
	require.Contains(t, page, `src="/web/src/main.tsx"`)
	res, body := s.do(t, http.MethodGet, "/api/health", "")
	require.Equal(t, http.StatusOK, res.StatusCode, body)

	module := filepath.Join(dir, "src/config.ts")
	raw, err := os.ReadFile(module)
	require.NoError(t, err)
	_, before := s.do(t, http.MethodGet, "/web/src/config.ts", "")
	require.NotContains(t, before, "edited meanwhile")
	require.NoError(t, os.WriteFile(module, append(raw, "\nexport const probe = \"edited meanwhile\";\n"...), 0o600))
	require.Eventually(t, func() bool {
		_, after := s.do(t, http.MethodGet, "/web/src/config.ts", "")
		return strings.Contains(after, "edited meanwhile")
	}, patience, 100*time.Millisecond)
}

// sources are a copy of the page's, to be edited.
func sources(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"index.html", "package.json", "tsconfig.json", "vite.config.ts", "public", "src"} {
		out, err := exec.CommandContext(t.Context(), "cp", "-R", filepath.Join("../../web", name), filepath.Join(dir, name)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	packages, err := filepath.Abs("../../web/node_modules")
	require.NoError(t, err)
	require.DirExists(t, packages, "run `make build` first")
	// Each package on its own, so that what Vite keeps beside them is the test's.
	require.NoError(t, os.Mkdir(filepath.Join(dir, "node_modules"), 0o700))
	entries, err := os.ReadDir(packages)
	require.NoError(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			require.NoError(t, os.Symlink(filepath.Join(packages, e.Name()), filepath.Join(dir, "node_modules", e.Name())))
		}
	}
	return dir
}
