package control_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// gunicornc runs Gunicorn's own client, from the checkout that
// LLMCTL_TEST_GUNICORN_SRC names, on the bundle's socket.
func gunicornc(t *testing.T, b *testBundle, stdin string, args ...string) (out string, code int) {
	t.Helper()
	source := os.Getenv("LLMCTL_TEST_GUNICORN_SRC")
	if source == "" {
		t.Skip("LLMCTL_TEST_GUNICORN_SRC names no checkout of Gunicorn 25.1 or later")
	}
	cmd := exec.CommandContext(within(t), "python3", append([]string{"-B", "-m", "gunicorn.ctl.cli", "-s", b.path}, args...)...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+source, "HOME="+shortDir(t))
	cmd.Stdin = strings.NewReader(stdin)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(t, err)
	}
	return both.String(), cmd.ProcessState.ExitCode()
}

func TestGunicornsOwnClientShowsEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for command, want := range map[string][]string{
		"show all":         {"ARBITER (master)\n  PID: 100", "WEB WORKERS (3)", "  101        5      yes      1.23s ago", "  103        7      no       n/a", "DIRTY ARBITER\n  (not running)"},
		"show workers":     {"101        5      yes      1.23s ago", "102        6      yes      2.0s ago", "Total: 3 workers"},
		"show dirty":       {"Dirty arbiter not running"},
		"show config":      {"bind: 127.0.0.1:5055, unix:/run/llmctl.sock", "timeout: 120", "pidfile: None", "preload_app: False", "loglevel: info"},
		"show stats":       {"Uptime:           1h 2m 3s", "PID:              100", "Workers current:  3", "Workers target:   3", "Workers spawned:  7", "Workers killed:   1", "Reloads:          2"},
		"show listeners":   {"http://127.0.0.1:5055                    tcp      5", "unix:/run/llmctl.sock                    unix     6", "Total: 2 listeners"},
		"show connections": {`"websocket": 4`},
		"show streams":     {`"rooms": 3`},
		"help":             {"worker kill <PID>", "drain", "shutdown [graceful|quick]"},
		"worker kill 101":  {`"success": true`, `"killed": 101`},
		"worker kill 99":   {`"success": false`, `"error": "Worker 99 not found"`},
		"dirty add 2":      {`"error": "Dirty arbiter not running"`},
		"reload":           {`"status": "reloading"`},
		"reopen":           {`"status": "reopening"`},
		"drain":            {`"status": "draining"`},
		"shutdown quick":   {`"status": "shutting_down"`, `"mode": "quick"`},
	} {
		out, code := gunicornc(t, b, "", "-c", command)
		require.Equal(t, 0, code, "%s: %s", command, out)
		for _, text := range want {
			require.Contains(t, out, text, command)
		}
	}
	require.ElementsMatch(t, []string{"kill", "reload", "reopen", "drain", "quick"}, b.fake.called())
}

func TestGunicornsOwnClientChangesWorkersAndShowsErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, code := gunicornc(t, b, "", "-j", "-c", "worker add 2")
	require.Equal(t, 0, code, out)
	require.JSONEq(t, `{"added":2,"previous":3,"total":5}`, out)
	out, code = gunicornc(t, b, "", "-c", "relod")
	require.Equal(t, 1, code)
	require.Equal(t, "Error: Invalid argument: Unknown command: relod. Did you mean reload?\n", out)
	out, code = gunicornc(t, b, "worker remove 9\nshow\nshow stats\nquit\n")
	require.Equal(t, 0, code, out)
	require.Contains(t, out, "Connected to "+b.path)
	require.Contains(t, out, `"removed": 4`)
	require.Contains(t, out, "Error: Invalid argument: Missing show target")
	require.Contains(t, out, "Workers target:   1", "it goes on after an error")
}
