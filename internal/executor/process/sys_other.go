//go:build !linux

package process

import (
	"os"
	"syscall"
)

func selfPath() string {
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

func (e *Executor) mayFence() bool { return false }

func fenceRefused(error) bool { return false }

func (e *Executor) attributes(bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if e.o.UID != 0 || e.o.GID != 0 {
		a.Credential = &syscall.Credential{Uid: uint32(e.o.UID), Gid: uint32(e.o.GID)} //nolint:gosec // checked when configured
	}
	return a
}

// Without /proc the process group is what can be found of a child's tree; reaping
// comes right after, in Wait.
func awaitExit(int) {}

func endSession(int) {}

func endMarked(string) {}

func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}
