// Package proctest starts the built program in processes of its own, for tests that
// end, freeze and kill them.
package proctest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Process is a running llmctl.
type Process struct {
	Pid int

	tb   testing.TB
	cmd  *exec.Cmd
	log  *Output
	done chan struct{} // closed when it has ended
	code int
}

// Start runs bin/llmctl of the repository, which lies root away from the test, with
// arguments and only those LLMCTL_, CELERY_ and GUNICORN_ variables that are given.
// What still runs when the test ends is killed; its log is shown if the test failed.
func Start(tb testing.TB, root string, arguments, environ []string) *Process {
	tb.Helper()
	binary, err := filepath.Abs(filepath.Join(root, "bin/llmctl"))
	require.NoError(tb, err)
	require.FileExists(tb, binary, "run `make build` first")
	p := &Process{tb: tb, cmd: exec.Command(binary, arguments...), log: &Output{}, done: make(chan struct{})} //nolint:noctx // ended below
	p.cmd.Env = append(clean(os.Environ()), environ...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(tb, p.cmd.Start())
	p.Pid = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		close(p.done)
	}()
	tb.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if tb.Failed() {
			tb.Logf("%s (pid %d, exit code %d):\n%s", strings.Join(arguments, " "), p.Pid, p.code, p.log)
		}
	})
	return p
}

// clean leaves out what would configure the program.
func clean(environ []string) []string {
	var out []string
	for _, pair := range environ {
		if !strings.HasPrefix(pair, "LLMCTL_") && !strings.HasPrefix(pair, "CELERY_") && !strings.HasPrefix(pair, "GUNICORN_") {
			out = append(out, pair)
		}
	}
	return out
}

// AwaitLog waits until the program has said something.
func (p *Process) AwaitLog(text string, patience time.Duration) {
	p.tb.Helper()
	require.Eventually(p.tb, func() bool { return strings.Contains(p.log.String(), text) }, patience, 20*time.Millisecond, "%q was not said", text)
}

// Log is what it has said so far.
func (p *Process) Log() string { return p.log.String() }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.tb.Helper()
	require.NoError(p.tb, p.cmd.Process.Signal(s))
}

// Wait waits for the end and gives the exit code; -1 after a signal.
func (p *Process) Wait(patience time.Duration) int {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(p.tb, "the process does not end", "%s", p.log)
	}
	return p.code
}
