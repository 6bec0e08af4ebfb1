package proctest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Kept is a running llmctl that is started anew whenever it ends, as Kubernetes or
// systemd would.
type Kept struct {
	tb        testing.TB
	binary    string
	arguments []string
	environ   []string
	log       *Output
	ended     chan struct{} // closed when it is not started any more

	mu     sync.Mutex
	cmd    *exec.Cmd
	starts int
	over   bool
	frozen bool
}

// Keep starts one with the arguments of Start, until the end of the test: then it is
// asked to end, and killed when it does not within patience.
func Keep(tb testing.TB, root string, arguments, environ []string, patience time.Duration) *Kept {
	tb.Helper()
	binary, err := filepath.Abs(filepath.Join(root, "bin/llmctl"))
	require.NoError(tb, err)
	require.FileExists(tb, binary, "run `make build` first")
	k := &Kept{
		tb: tb, binary: binary, arguments: arguments, environ: append(clean(os.Environ()), environ...),
		log: &Output{}, ended: make(chan struct{}),
	}
	require.NoError(tb, k.launch())
	go k.supervise()
	tb.Cleanup(func() { k.stop(patience) })
	return k
}

var errOver = errors.New("the test is over")

func (k *Kept) launch() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return errOver
	}
	k.cmd = exec.Command(k.binary, k.arguments...) //nolint:noctx // ended by stop
	k.cmd.Env, k.cmd.Stdout, k.cmd.Stderr = k.environ, k.log, k.log
	if err := k.cmd.Start(); err != nil {
		return err
	}
	k.starts++
	k.frozen = false
	return nil
}

func (k *Kept) supervise() {
	defer close(k.ended)
	for {
		_ = k.cmd.Wait() // only this goroutine and launch, which it calls, touch cmd's life
		if err := k.launch(); err != nil {
			return
		}
	}
}

// Signal sends a signal to the present process.
func (k *Kept) Signal(s syscall.Signal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.cmd.Process.Signal(s) // one that has just ended is started anew anyway
	switch s {
	case syscall.SIGSTOP:
		k.frozen = true
	case syscall.SIGCONT:
		k.frozen = false
	default:
	}
}

// Frozen reports whether the present process was stopped and not continued.
func (k *Kept) Frozen() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.frozen
}

// Starts is how often it was started.
func (k *Kept) Starts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.starts
}

// Children are the processes that the present one has started: a master's are its web
// workers. The kernel lists children by thread, and a Go program forks in any of its
// threads; so all processes are looked at.
func (k *Kept) Children() []int {
	k.mu.Lock()
	parent := strconv.Itoa(k.cmd.Process.Pid)
	k.mu.Unlock()
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
		if len(fields) > 1 && fields[1] == parent && fields[0] != "Z" {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			out = append(out, pid)
		}
	}
	return out
}

// AwaitLog waits until it has said something.
func (k *Kept) AwaitLog(text string, patience time.Duration) {
	k.tb.Helper()
	require.Eventually(k.tb, func() bool { return strings.Contains(k.log.String(), text) }, patience, 20*time.Millisecond, "%q was not said", text)
}

func (k *Kept) stop(patience time.Duration) {
	k.mu.Lock()
	k.over = true
	_ = k.cmd.Process.Signal(syscall.SIGCONT)
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	k.mu.Unlock()
	select {
	case <-k.ended:
	case <-time.After(patience):
		k.tb.Errorf("%s does not end", strings.Join(k.arguments, " "))
		k.mu.Lock()
		_ = k.cmd.Process.Kill()
		k.mu.Unlock()
		<-k.ended
	}
	if k.tb.Failed() {
		said := k.log.String()
		k.tb.Logf("%s:\n%s", strings.Join(k.arguments, " "), said[max(0, len(said)-shown):])
	}
}

// shown is how much of its log a failed test shows.
const shown = 20_000
