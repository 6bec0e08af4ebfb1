package client

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes give a program a session of its own and end it with this process. As
// root it is also the first of a process namespace: when it ends, however that is,
// the kernel ends everything that it started.
func attributes(p Programs, fenced bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if fenced {
		a.Cloneflags = unix.CLONE_NEWPID
	}
	if p.UID != 0 || p.GID != 0 {
		a.Credential = &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID)}
	}
	return a
}

func mayFence() bool { return os.Geteuid() == 0 }

func fenceRefused(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.ENOSYS)
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
