package serving

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	patience = 40 * time.Second
	look     = 15 * time.Millisecond
)

// rig is a master with workers, of this test binary.
type rig struct {
	t    *testing.T
	dir  string
	set  rigSettings
	url  string
	cmd  *exec.Cmd
	exit chan error
}

// newRig starts a master and waits until its workers serve.
func newRig(t *testing.T, change func(*rigSettings)) *rig {
	t.Helper()
	r := makeRig(t, change)
	r.start()
	r.logged("all serve")
	return r
}

// makeRig prepares one without starting it. Its address is one that nothing else
// on this machine uses.
func makeRig(t *testing.T, change func(*rigSettings)) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "rig") //nolint:usetesting // paths of sockets must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, set: rigSettings{
		Bind: []string{freeAddress(t)}, Workers: 2, Timeout: 30 * time.Second, Grace: 10 * time.Second, Keepalive: 2 * time.Second,
		Connections: 1000, Label: "first",
	}}
	if change != nil {
		change(&r.set)
	}
	r.url = "http://" + r.set.Bind[0]
	r.write()
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, filepath.Join(r.dir, "program")))
	t.Cleanup(r.clean)
	return r
}

func freeAddress(t *testing.T) string {
	t.Helper()
	host := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(200), rand.IntN(256), 1+rand.IntN(250))
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", host+":0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (r *rig) write() {
	r.t.Helper()
	raw, err := json.Marshal(r.set)
	require.NoError(r.t, err)
	require.NoError(r.t, os.WriteFile(r.path("settings.new"), raw, 0o600))
	require.NoError(r.t, os.Rename(r.path("settings.new"), r.path("settings")))
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// start starts a master, under what prefix says.
func (r *rig) start(prefix ...string) {
	r.t.Helper()
	argv := append(slices.Clone(prefix), r.path("program"), "test-master", r.path("settings"))
	log, err := os.OpenFile(r.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(r.t, err)
	defer func() { _ = log.Close() }()
	r.cmd = exec.Command(argv[0], argv[1:]...)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	r.cmd.Env = append(os.Environ(), "TMPDIR="+r.dir)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(r.t, r.cmd.Start())
	exit := make(chan error, 1)
	r.exit = exit
	cmd := r.cmd
	go func() { exit <- cmd.Wait() }()
}

func (r *rig) pid() int { return r.cmd.Process.Pid }

func (r *rig) signal(s syscall.Signal) {
	r.t.Helper()
	require.NoError(r.t, r.cmd.Process.Signal(s))
}

// ended waits for the master's exit and gives its code; -1: by a signal.
func (r *rig) ended() int {
	r.t.Helper()
	select {
	case err := <-r.exit:
		r.exit <- err
		if failed, ok := errors.AsType[*exec.ExitError](err); ok {
			return failed.ExitCode()
		}
		require.NoError(r.t, err)
		return 0
	case <-time.After(patience):
		r.t.Fatalf("the master does not end\n%s", r.log())
		return 0
	}
}

func (r *rig) log() string {
	raw, _ := os.ReadFile(r.path("log"))
	return string(raw)
}

// eventually polls a condition; what says what was waited for.
func (r *rig) eventually(what string, cond func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not seen: %s\n%s", what, r.log())
		}
		pause(look)
	}
}

// pause is between two looks at something, or is itself what is tested.
func pause(d time.Duration) { <-time.After(d) }

// logged waits for a line of the log; counts wait for that many of them.
func (r *rig) logged(text string, count ...int) {
	r.t.Helper()
	want := 1
	if len(count) > 0 {
		want = count[0]
	}
	r.eventually(fmt.Sprintf("%d times %q in the log", want, text), func() bool { return strings.Count(r.log(), text) >= want })
}

// processes are all masters and workers of this rig, whoever their parent is.
func (r *rig) processes() []int {
	var pids []int
	for _, p := range allProcesses() {
		if strings.Contains(p.cmdline, r.path("settings")) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

type process struct {
	pid     int
	state   string
	parent  int
	cmdline string
}

func allProcesses() []process {
	var out []process
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := processOf(pid); ok {
				out = append(out, p)
			}
		}
	}
	return out
}

func processOf(pid int) (process, bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, false
	}
	rest := strings.Fields(string(raw[strings.LastIndexByte(string(raw), ')')+1:]))
	parent, _ := strconv.Atoi(rest[1])
	cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	return process{pid: pid, state: rest[0], parent: parent, cmdline: strings.ReplaceAll(string(cmdline), "\x00", " ")}, true
}

// workersOf are the worker processes of a master.
func workersOf(master int) []int {
	var pids []int
	for _, p := range allProcesses() {
		if p.parent == master && strings.HasPrefix(p.cmdline, WorkerTitle) && p.state != "Z" {
			pids = append(pids, p.pid)
		}
	}
	slices.Sort(pids)
	return pids
}

func (r *rig) workers() []int { return workersOf(r.pid()) }

// settle waits until there are exactly n workers.
func (r *rig) settle(n int) []int {
	r.t.Helper()
	r.eventually(fmt.Sprintf("exactly %d workers", n), func() bool { return len(r.workers()) == n })
	return r.workers()
}

// client makes a connection for each request.
func client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
}

// ask makes a request on a new connection.
func (r *rig) ask(path string) rigAnswer {
	r.t.Helper()
	a, err := r.try(r.url + path)
	require.NoError(r.t, err, "%s", r.log())
	return a
}

func (r *rig) try(url string) (rigAnswer, error) {
	var a rigAnswer
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	resp, err := client().Do(req)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return a, err
	}
	if resp.StatusCode != http.StatusOK {
		return a, fmt.Errorf("status %d: %s", resp.StatusCode, raw)
	}
	return a, json.Unmarshal(raw, &a)
}

// fault has workers that start from now on misbehave; empty: behave.
func (r *rig) fault(kind string) {
	r.t.Helper()
	if kind == "" {
		require.NoError(r.t, os.Remove(r.path("fault")))
		return
	}
	require.NoError(r.t, os.WriteFile(r.path("fault"), []byte(kind), 0o600))
}

// upgradeTo puts another program in the place of the one that the master was
// started from: a shell script.
func (r *rig) upgradeTo(script string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(r.path("program.new"), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	require.NoError(r.t, os.Rename(r.path("program.new"), r.path("program")))
}

// newer is a script that is this program under another label.
func (r *rig) newer() string {
	r.t.Helper()
	self, err := os.Executable()
	require.NoError(r.t, err)
	return fmt.Sprintf(`RIG_BINARY=newer exec %s "$@"`, self)
}

// stop ends the master gracefully and proves that nothing is left.
func (r *rig) stop() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	require.Equal(r.t, 0, r.ended(), "%s", r.log())
	r.gone()
}

// gone proves that no process of this rig is left.
func (r *rig) gone() {
	r.t.Helper()
	r.eventually("no process is left", func() bool { return len(r.processes()) == 0 })
}

// clean ends by force what a failed test leaves behind.
func (r *rig) clean() {
	for _, pid := range r.processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if r.cmd != nil && r.exit != nil {
		<-r.exit
	}
	deadline := time.Now().Add(5 * time.Second)
	for len(r.processes()) > 0 && time.Now().Before(deadline) {
		pause(look)
	}
	if r.t.Failed() {
		r.t.Logf("log of the master:\n%s", r.log())
	}
}
