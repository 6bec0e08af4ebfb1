//go:build !linux

package transfer

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// errHeld is a lock that another process holds.
var errHeld = errors.New("held by another process")

// lockFile takes the lock of a file, which ends with the process or with Close.
func lockFile(f *os.File, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		if !time.Now().Before(deadline) {
			return errHeld
		}
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
	}
}

// bootID is unknown here, so that only what a sync confirmed counts.
func bootID() uint64 { return 0 }

// Space is what a file system has.
type Space struct{ Free, Total int64 }

// SpaceAt tells the space of the file system that holds a folder.
func SpaceAt(dir string) (Space, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return Space{}, os.NewSyscallError("statfs", err)
	}
	return Space{Free: int64(st.Bavail) * int64(st.Bsize), Total: int64(st.Blocks) * int64(st.Bsize)}, nil
}

// NoSpace tells whether an error says that the disk is full.
func NoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// exchange is not to be had here.
func exchange(*os.File, string, string) (bool, error) { return false, nil }
