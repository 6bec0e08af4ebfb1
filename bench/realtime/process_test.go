package realtime

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a server under measurement, with the processes it starts.
type process struct {
	pid int
}

func start(tb testing.TB, dir string, env []string, command ...string) *process {
	tb.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(tb, cmd.Start())
	tb.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		timer := time.AfterFunc(5*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		defer timer.Stop()
		_ = cmd.Wait()
		if tb.Failed() {
			tb.Log(command[0], "said:", said.String())
		}
	})
	return &process{pid: cmd.Process.Pid}
}

// family is the process and its descendants.
func (p *process) family(tb testing.TB) []string {
	tb.Helper()
	children := map[string][]string{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if fields := statFields(path); fields != nil {
			id := strings.Split(path, "/")[2]
			children[fields[1]] = append(children[fields[1]], id)
		}
	}
	all := []string{strconv.Itoa(p.pid)}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

func statFields(path string) []string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
}

// cpu is the time that the processes have spent, in user and in kernel mode.
func (p *process) cpu(tb testing.TB) time.Duration {
	tb.Helper()
	const tick = 10 * time.Millisecond
	sum := time.Duration(0)
	for _, id := range p.family(tb) {
		fields := statFields("/proc/" + id + "/stat")
		if fields == nil {
			continue
		}
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// memory is the resident memory of the processes.
func (p *process) memory(tb testing.TB) int {
	tb.Helper()
	sum := 0
	for _, id := range p.family(tb) {
		raw, err := os.ReadFile("/proc/" + id + "/statm")
		if err != nil {
			continue
		}
		n, _ := strconv.Atoi(strings.Fields(string(raw))[1])
		sum += n * os.Getpagesize()
	}
	return sum
}
