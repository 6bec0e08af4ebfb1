package e2e

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMainJobInABrowser is what a newcomer does, in Chromium; then the editor by
// keyboard, and the page below a prefix.
func TestMainJobInABrowser(t *testing.T) {
	t.Parallel()
	s := newStudioWith(t, []string{"LLMCTL_STUDIO_PROXY_FIX_ENABLED=true", "LLMCTL_STUDIO_PROXY_FIX_X_PREFIX=1"}, "--demo")
	require.Equal(t, "ok\n", inBrowser(t, nil, "main-job.mjs", s.url+"/web/setup?token="+s.setup))
	require.NotContains(t, inBrowser(t, nil, "keyboard.mjs", s.url+"/web"), "FAIL")
	require.Equal(t, "ok\n", inBrowser(t, nil, "prefix.mjs", s.url+"/web"))
}

// TestRealtimeInABrowser watches one run in several tabs: one socket for all of
// them, handing over, a restart of the server, and polling where sockets are blocked.
func TestRealtimeInABrowser(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	restart := func() {
		s.end(syscall.SIGTERM)
		s.start()
	}
	require.Equal(t, "restart\nok\n", inBrowser(t, restart, "realtime.mjs", s.url+"/web/setup?token="+s.setup))
}

// inBrowser runs one of the page's browser tests and gives what it wrote. When it
// writes "restart", restart is called and "restarted" answered.
func inBrowser(t *testing.T, restart func(), script string, args ...string) string {
	t.Helper()
	return inBrowserWith(t, restart, nil, script, args...)
}

// inBrowserWith is inBrowser with further environment.
func inBrowserWith(t *testing.T, restart func(), env []string, script string, args ...string) string {
	t.Helper()
	web, err := filepath.Abs("../../web")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(web, "node_modules", "playwright-core")); err != nil {
		t.Fatal("the page's packages are not installed; run `make build` first")
	}
	shots := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "node", append([]string{"e2e/" + script}, append(args, shots)...)...)
	cmd.Dir = web
	cmd.Env = append(os.Environ(), "SHOTS="+shots, "STUDIO_EMAIL=admin@example.org", "STUDIO_PASSWORD=a long password")
	cmd.Env = append(cmd.Env, env...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	wrote := follow(out, in, restart)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s\n%s\nthe screen is in %s", script, err, wrote, &problems, keepScreen(shots))
	}
	return wrote
}

func follow(out io.Reader, in io.Writer, restart func()) string {
	var wrote bytes.Buffer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		wrote.WriteString(lines.Text() + "\n")
		if lines.Text() == "restart" && restart != nil {
			restart()
			_, _ = io.WriteString(in, "restarted\n") // it fails by itself without
		}
	}
	return wrote.String()
}

// keepScreen saves the newest screenshot of a failure from being removed.
func keepScreen(shots string) string {
	keep := filepath.Join(os.TempDir(), "llmctl-browser-failed.png")
	found, _ := filepath.Glob(filepath.Join(shots, "*failed*.png"))
	if len(found) == 0 {
		return "no file"
	}
	if raw, err := os.ReadFile(found[len(found)-1]); err == nil {
		_ = os.WriteFile(keep, raw, 0o600)
	}
	return keep
}
