package executor

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/llmctl/studio/internal/executor/internal/proctree"
)

// hardenProcess makes this process the one that orphans below it are handed to, so
// that none can leave the tree; and closes its memory and descriptors to processes of the same
// user, which the user's script is one of. Each is a precaution: a kernel that
// refuses one still runs attempts.
func hardenProcess() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// offerMemory lets the kernel prefer this process over the worker when memory runs
// out. It comes first: the /proc of an undumpable process belongs to root.
func offerMemory() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0) }

// raiseFence finishes what the flags of clone began: it shows this namespace in
// /proc, as scripts expect it, and gives up being root for good.
func raiseFence(f Fence) error {
	// Without a /proc of its own a script sees processes that it cannot signal: a
	// nuisance, no danger.
	if unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") == nil {
		_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	}
	if f.UID == 0 && f.GID == 0 {
		return nil
	}
	// These of package syscall change all threads.
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("give up groups: %w", err)
	}
	if err := syscall.Setresgid(f.GID, f.GID, f.GID); err != nil {
		return fmt.Errorf("become group %d: %w", f.GID, err)
	}
	if err := syscall.Setresuid(f.UID, f.UID, f.UID); err != nil {
		return fmt.Errorf("become user %d: %w", f.UID, err)
	}
	// The change of user took it away.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		return fmt.Errorf("ask for the signal of a dead parent: %w", err)
	}
	return nil
}

// hungUp reports whether nobody is left to write into a pipe.
func hungUp(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	hup := false
	_ = conn.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(fds, 0)
		hup = err == nil && fds[0].Revents&unix.POLLHUP != 0
	})
	return hup
}

// killDescendants ends and reaps everything below this process.
func killDescendants(limit time.Duration) {
	self := os.Getpid()
	find := func() []int { return proctree.Descendants(self) }
	if self == 1 {
		// The first of a namespace: all others are below it, whatever /proc shows.
		find = func() []int {
			if err := unix.Kill(-1, unix.SIGKILL); err != nil {
				return nil
			}
			return []int{-1}
		}
	}
	proctree.KillUntilGone(limit, find, func() {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 || err != nil {
				return
			}
		}
	})
}

// reapEvery is the pause between two looks for orphans.
const reapEvery = 5 * time.Second

// reapOrphans buries what died below this process and that nobody waits for, until ctx
// ends. Whoever started a process himself waits for it and is there at once; so what
// is dead at two looks in a row is an orphan.
func reapOrphans(ctx context.Context) {
	ticker := time.NewTicker(reapEvery)
	defer ticker.Stop()
	seen := map[int]bool{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		seen = reapSeen(seen)
	}
}

func reapSeen(seen map[int]bool) map[int]bool {
	dead := map[int]bool{}
	for _, p := range proctree.All() {
		switch {
		case !p.Zombie || p.PPID != os.Getpid():
		case seen[p.PID]:
			_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
		default:
			dead[p.PID] = true
		}
	}
	return dead
}
