package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// HideMemory closes the memory, the environment and the descriptors of this
// process to other processes of the same user, scripts among them, and keeps it
// from dumping core. Processes that it starts are not affected: starting a
// program resets it. It can still read its own /proc, but not write to it.
func HideMemory() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide memory from other processes: %w", err)
	}
	return nil
}
