//go:build !linux

package process

import "syscall"

// attributes put a parser into a group of its own; it ends with the pipe from this process.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit has no counterpart here; reaping comes right after.
func awaitExit(int) {}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// boundMemory: no kernel but Linux counts what Go writes to; the watch is what there is.
func boundMemory(int64) bool { return false }
