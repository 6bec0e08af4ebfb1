//go:build !linux

package embedded

import "os/exec"

// startBound starts a command and closes done when it has ended. There is no way here to have the kernel end it
// with this process; the next start finds and stops it.
func startBound(cmd *exec.Cmd, done chan<- struct{}) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	return nil
}
