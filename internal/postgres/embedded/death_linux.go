package embedded

import (
	"os/exec"
	"runtime"
	"syscall"
)

// startBound starts a command that gets a fast shutdown (SIGINT) from the kernel
// when this process dies, and closes done when it has ended. The kernel watches the thread that forked, not the
// process, so that thread is kept for as long as the command runs.
func startBound(cmd *exec.Cmd, done chan<- struct{}) error {
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(done)
		}
	}()
	return <-started
}
