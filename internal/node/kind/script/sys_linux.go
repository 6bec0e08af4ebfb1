package script

import "syscall"

// groupAttributes put the command into a process group of its own that dies with
// this process.
func groupAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
