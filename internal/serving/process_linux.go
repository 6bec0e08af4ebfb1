package serving

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// program is this very binary, also after its file was replaced on disk: workers of
// a master are of its version.
const program = "/proc/self/exe"

// attributes put a worker into a process group of its own, so that Ctrl-C reaches
// the master alone, and have the kernel tell it when the master dies, even if it
// does not read its channel.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// residentMemory is what this process holds, in bytes.
func residentMemory() uint64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * uint64(os.Getpagesize())
}
