//go:build !linux

package serving

import (
	"os"
	"runtime"
	"syscall"
)

// program is this binary. A file that was replaced on disk is not noticed.
var program, _ = os.Executable() //nolint:gochecknoglobals // constant while the process runs

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// residentMemory is what the runtime holds, in bytes.
func residentMemory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys
}
