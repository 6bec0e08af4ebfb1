package socketio

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// directIO says whether the functions below are of use. A socket never makes them wait: Go has made it non-blocking.
const directIO = true

// readNow returns what has arrived; again means that nothing has.
func readNow(fd uintptr, into []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), into)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EAGAIN) {
		return 0, true, nil
	}
	return max(n, 0), false, err
}

// writeNow writes what the socket takes at once, which may be nothing.
func writeNow(fd uintptr, buffers [][]byte) (n int, err error) {
	for {
		if len(buffers) == 1 {
			n, err = syscall.Write(int(fd), buffers[0])
		} else {
			n, err = unix.Writev(int(fd), buffers)
		}
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EAGAIN) {
		return 0, nil
	}
	return max(n, 0), err
}
