package git

import "syscall"

// group puts a program and what it starts into a group of their own, and ends it with
// this process.
func group() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// opened is how a program is told the folder that it has as descriptor 3, whatever lies at its
// path by then.
func opened(string) string { return "/proc/self/fd/3" }
