package serving

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// watchSignals hands over the signals that the master obeys. The kernel drops
// signals that process 1 does not ask for, so it asks for all that have a meaning.
func watchSignals() (signals <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 128)
	signal.Notify(c, syscall.SIGCHLD, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
		syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	return c, func() { signal.Stop(c) }
}

// onTerminal tells whether somebody's window is behind this process.
func onTerminal() bool {
	for _, f := range []*os.File{os.Stdin, os.Stderr} {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			return true
		}
	}
	return false
}
