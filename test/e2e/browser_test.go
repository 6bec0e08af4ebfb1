package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMainJobInABrowser is what a newcomer does, in Chromium.
func TestMainJobInABrowser(t *testing.T) {
	t.Parallel()
	web, err := filepath.Abs("../../web")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(web, "node_modules", "playwright-core")); err != nil {
		t.Fatal("the page's packages are not installed; run `make build` first")
	}
	s := newStudio(t, "--demo")
	shots := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "node", "e2e/main-job.mjs", s.url+"/web/setup?token="+s.setup, shots)
	cmd.Dir = web
	out, err := cmd.CombinedOutput()
	if err != nil {
		keep := filepath.Join(os.TempDir(), "llmctl-browser-failed.png")
		if raw, errRead := os.ReadFile(filepath.Join(shots, "failed.png")); errRead == nil {
			_ = os.WriteFile(keep, raw, 0o600)
		}
		t.Fatalf("%v\n%s\nthe screen is in %s", err, out, keep)
	}
	require.Equal(t, "ok\n", string(out))
}
