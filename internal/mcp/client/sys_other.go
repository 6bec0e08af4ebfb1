//go:build !linux

package client

import "syscall"

func attributes(p Programs, _ bool) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setsid: true}
	if p.UID != 0 || p.GID != 0 {
		a.Credential = &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID)}
	}
	return a
}

func mayFence() bool { return false }

func fenceRefused(error) bool { return false }

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
