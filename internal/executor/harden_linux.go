package executor

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmctl/studio/internal/executor/internal/proctree"
)

// hardenProcess makes this process the one that orphans below it are handed to, so
// that none can leave the tree; lets the kernel prefer it over the worker when
// memory runs out; and closes its memory and descriptors to processes of the same
// user, which the user's script is one of. Each is a precaution: a kernel that
// refuses one still runs attempts.
func hardenProcess() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	// Before the process becomes undumpable, since its /proc then belongs to root.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// killDescendants ends and reaps everything below this process.
func killDescendants(limit time.Duration) {
	self := os.Getpid()
	proctree.KillUntilGone(limit, func() []int { return proctree.Descendants(self) }, func() {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 || err != nil {
				return
			}
		}
	})
}
