package transfer

import (
	"errors"
	"hash/fnv"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// errHeld is a lock that another process holds.
var errHeld = errors.New("held by another process")

// lockFile takes the lock of a file, which ends with the process or with Close.
func lockFile(f *os.File, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if !time.Now().Before(deadline) {
			return errHeld
		}
		timer := time.NewTimer(50 * time.Millisecond)
		<-timer.C
	}
}

// bootID names this run of the machine; 0: unknown.
func bootID() uint64 {
	raw, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(raw) < 16 {
		return 0
	}
	h := fnv.New64a()
	_, _ = h.Write(raw) // never fails
	return h.Sum64()
}

// Space is what a file system has.
type Space struct{ Free, Total int64 }

// SpaceAt tells the space of the file system that holds a folder.
func SpaceAt(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, os.NewSyscallError("statfs", err)
	}
	return Space{Free: int64(st.Bavail) * st.Bsize, Total: int64(st.Blocks) * st.Bsize}, nil
}

// NoSpace tells whether an error says that the disk is full.
func NoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// exchange swaps two names at once; false: the file system cannot.
func exchange(dir *os.File, a, b string) (bool, error) {
	err := unix.Renameat2(int(dir.Fd()), a, int(dir.Fd()), b, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	return err == nil, err
}
