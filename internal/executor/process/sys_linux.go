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
// A fenced child is the first process of a process namespace: when it ends, however
// that is, the kernel ends all others in it. It changes its user by itself, since it
// has to show the namespace in /proc before.
func (e *Executor) attributes(fenced bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM}
	if fenced {
		a.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS
		return a
	}
	if e.o.UID != 0 || e.o.GID != 0 {
		a.Credential = &syscall.Credential{Uid: uint32(e.o.UID), Gid: uint32(e.o.GID)}
	}
	return a
}

// mayFence reports whether this process may make process namespaces, as far as is
// known.
func (e *Executor) mayFence() bool { return os.Geteuid() == 0 && !e.unfenced.Load() }

// fenceRefused tells a refused namespace from other reasons not to start.
func fenceRefused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOSYS)
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
