//go:build unix

package sqliteimport

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Where SQLite's processes lock: the pending, reserved and shared bytes of the
// database file, and the eight locks of the index of a write-ahead log.
const (
	fileLocksAt  = 0x40000000
	fileLocks    = 512
	indexLocksAt = 120
	indexLocks   = 8
)

// inUse asks the system whether a process holds one of SQLite's locks, without
// taking any.
func inUse(path string) (pid int, used bool, err error) {
	if pid, used, err = lockedBy(path, fileLocksAt, fileLocks); used || err != nil {
		return pid, used, err
	}
	return lockedBy(path+"-shm", indexLocksAt, indexLocks+1) // the last one is held for as long as a file is open
}

func lockedBy(path string, start, length int64) (int, bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = f.Close() }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: start, Len: length}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, false, err
	}
	return int(lock.Pid), lock.Type != unix.F_UNLCK, nil
}
