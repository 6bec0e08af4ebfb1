//go:build !linux

package executor

import (
	"context"
	"errors"
	"io"
	"time"
)

func offerMemory() {}

func raiseFence(Fence) error { return errors.New("there are no process namespaces on this system") }

func hungUp(io.Reader) bool { return false }

// hardenProcess has no counterpart here; the script handler's process group is the
// only fence.
func hardenProcess() {}

func killDescendants(time.Duration) {}

func reapOrphans(context.Context) {}
