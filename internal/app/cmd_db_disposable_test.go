package app_test

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
)

// processVariable makes TestProcess be the program itself, with those arguments.
const processVariable = "LLMCTL_TEST_PROCESS_ARGUMENTS"

// TestProcess is not a test: other tests start it to have the program as a process.
func TestProcess(*testing.T) {
	args := os.Getenv(processVariable)
	if args == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := app.Main(ctx, app.Edge{
		Args: strings.Split(args, "\x1f"), Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Now: time.Now,
	})
	stop()
	os.Exit(code)
}

// process is the program as a process of its own.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), processVariable+"="+strings.Join(args, "\x1f"))
	return cmd
}

func port(t *testing.T) string {
	t.Helper()
	_, p, _ := strings.Cut(closedPort(t), ":")
	return p
}

func TestWithTestPassesOnAddressOutputAndExitCode(t *testing.T) {
	t.Parallel()
	p := port(t)
	code, stdout, stderr := run(t, []string{"PATH=" + os.Getenv("PATH"), "LLMCTL_TEST_POSTGRES_DB=mine"},
		"db", "with-test", "--port", p, "--skip-dep-check", "--", "sh", "-c", `echo "$LLMCTL_STUDIO_DATABASE_URI $LLMCTL_TEST_DATABASE_URI"; exit 7`)
	require.Equal(t, 7, code, stderr)
	uris := strings.Fields(stdout)
	require.Len(t, uris, 2)
	require.Equal(t, uris[0], uris[1])
	require.Regexp(t, `^postgresql://llmctl:[^@]+@127\.0\.0\.1:\d+/mine\?`, uris[0])
	require.Contains(t, stderr, "database: 127.0.0.1:")
	require.Contains(t, stderr, "--skip-dep-check has no effect")
}

func TestWithTestRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--python", "/usr/bin/python3", "--", "true"}, 2, "there is no Python here"},
		{[]string{"--port", "none", "--", "true"}, 2, "LLMCTL_TEST_POSTGRES_PORT"},
		{[]string{"--stop", "--", "true"}, 2, "--stop ends a kept server and runs no command"},
		{[]string{"--stop", "--port", "1"}, 1, "No server is kept on port 1"},
		{[]string{"--", "/does/not/exist"}, 1, `The command "/does/not/exist" could not be started`},
	} {
		code, _, stderr := run(t, nil, append([]string{"db", "with-test", "--port", port(t)}, c.args...)...)
		require.Equal(t, c.code, code, stderr)
		require.Contains(t, stderr, c.want)
	}
}

func TestWithTestSaysWhatToGiveOutsideTheRepository(t *testing.T) {
	t.Parallel()
	cmd := process(t, "db", "with-test")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
	require.Contains(t, string(out), "Give a command: llmctl db with-test -- command")
}

func TestWithTestPassesSignalsOnAndEndsCleanly(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			cmd := process(t, "db", "with-test", "--port", port(t), "--", "sh", "-c",
				`trap 'echo got; exit 9' `+strconv.Itoa(int(s))+`; echo "$LLMCTL_TEST_DATABASE_URI"; while :; do sleep 0.05; done`)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			lines := bufio.NewReader(out)
			uri, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.NoError(t, cmd.Process.Signal(s))
			rest, err := io.ReadAll(lines)
			require.NoError(t, err)
			require.Equal(t, "got\n", string(rest))
			require.Error(t, cmd.Wait())
			require.Equal(t, 9, cmd.ProcessState.ExitCode())
			code, _, _ := run(t, []string{"LLMCTL_STUDIO_DB_HEALTHCHECK_TIMEOUT_SECONDS=0"}, "db", "check", "--database-uri", strings.TrimSpace(uri))
			require.Equal(t, 1, code, "the server is gone")
		})
	}
}

func TestWithTestEndsTheCommandWhenItsCallerStops(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	go func() {
		_, _ = bufio.NewReader(reader).ReadString('\n')
		cancel()
		_, _ = io.Copy(io.Discard, reader)
	}()
	code := app.Main(ctx, app.Edge{
		Args:    []string{"db", "with-test", "--port", port(t), "--", "sh", "-c", "echo ready; exec sleep 100"},
		Environ: []string{"PATH=" + os.Getenv("PATH")}, Stdin: strings.NewReader(""), Stdout: writer, Stderr: io.Discard, Now: time.Now,
	})
	require.Equal(t, 128+int(syscall.SIGTERM), code)
}

func TestWithTestKeepsAServer(t *testing.T) {
	t.Parallel()
	p := port(t)
	environ := []string{"PATH=" + os.Getenv("PATH")}
	code, _, stderr := run(t, environ, "db", "with-test", "--keep-container", "--port", p, "--", "true")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "llmctl db with-test --stop --port "+p)
	code, stdout, stderr := run(t, environ, "db", "with-test", "--port", p, "--", "sh", "-c", `echo "$LLMCTL_TEST_DATABASE_URI"`)
	require.Equal(t, 0, code)
	require.Contains(t, stdout, ":"+p+"/")
	require.Contains(t, stderr, "using the kept server")
	code, _, stderr = run(t, environ, "db", "with-test", "--stop", "--port", p)
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "stopped the server on port "+p)
}
