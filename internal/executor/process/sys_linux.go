package process

import (
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmctl/studio/internal/executor/internal/proctree"
)

// selfPath is this very program, also after its file was replaced by an upgrade:
// both sides must speak the same version of the protocol.
func selfPath() string { return "/proc/self/exe" }

// attributes give the child its own session and have the kernel tell it when this
// process dies. It is SIGTERM, not SIGKILL, for the child has a tree to end.
func (e *Executor) attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	if e.o.UID != 0 || e.o.GID != 0 {
		a.Credential = &syscall.Credential{Uid: uint32(e.o.UID), Gid: uint32(e.o.GID)}
	}
	return a
}

// awaitExit blocks until pid has exited and leaves it to be reaped.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func endSession(sid int) {
	proctree.KillUntilGone(2*time.Second, func() []int { return proctree.InSession(sid) }, func() {})
}

// endMarked ends what left the session of a child that could not clean up itself.
func endMarked(entry string) {
	proctree.KillUntilGone(2*time.Second, func() []int { return proctree.WithEnviron(entry) }, func() {})
}

func killGroup(p *os.Process) {
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	_ = p.Kill()
}
