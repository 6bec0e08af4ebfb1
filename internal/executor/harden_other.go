//go:build !linux

package executor

import "time"

// hardenProcess has no counterpart here; the script handler's process group is the
// only fence.
func hardenProcess() {}

func killDescendants(time.Duration) {}
