package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put a parser into a group of its own and have the kernel end it with this
// process.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit blocks until pid has exited and leaves it to be reaped: while it is not, its
// group is nobody else's.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// memorySlack is for what a process needs beside a document: stacks of threads, and what the
// runtime keeps of the heap.
const memorySlack = 48 << 20

// boundMemory has the kernel refuse this process more than so many bytes beyond what it
// has. Not its address space is bounded (RLIMIT_AS), of which Go reserves much more than it
// uses, but what can be written to (RLIMIT_DATA): Go asks for that in small steps, and ends
// when it does not get it. false: the kernel does not count it.
func boundMemory(memory int64) bool {
	// When memory runs out all the same, this process goes before the one that asked.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{}) // nothing here writes files
	has, err := dataOf("/proc/self/status")
	if err != nil {
		return false
	}
	most := uint64(has + memory + memorySlack)
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: most, Max: most}) == nil
}

// dataOf reads how much a process can write to.
func dataOf(status string) (int64, error) {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmData:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no VmData", status)
}
