package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	orphanFast      = 20 * time.Second // a checkpoint's time
	orphanImmediate = 10 * time.Second
	orphanPoll      = 20 * time.Millisecond
	socketPrefix    = "llmctl-pg-" // of socket folders outside the cluster's root
)

// clearPredecessor stops a server that still works on data and removes what it
// left. The caller holds the data folder's lock.
func clearPredecessor(ctx context.Context, data string, log *slog.Logger) error {
	file := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read postmaster.pid: %w", err)
	}
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if pid < 0 {
		pid = -pid // a server in single-user mode
	}
	if err == nil && pid > 1 && isPostmasterOf(pid, data) {
		log.WarnContext(ctx, "stopping a database server that outlived its llmctl", "pid", pid, "data", data)
		if err := stopProcess(ctx, pid); err != nil {
			return err
		}
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a stale postmaster.pid: %w", err)
	}
	if len(lines) > 4 && strings.HasPrefix(filepath.Base(lines[4]), socketPrefix) {
		_ = os.RemoveAll(lines[4]) //nolint:gosec // the server wrote it, the prefix is ours, and the lock makes it nobody's
	}
	return nil
}

// stopProcess ends a server that is not our child: fast, immediately, at once.
func stopProcess(ctx context.Context, pid int) error {
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{
		{syscall.SIGINT, orphanFast},
		{syscall.SIGQUIT, orphanImmediate},
		{syscall.SIGKILL, orphanImmediate},
	} {
		if err := syscall.Kill(pid, step.signal); errors.Is(err, syscall.ESRCH) {
			return nil
		} else if err != nil {
			return fmt.Errorf("stop the old database server %d: %w", pid, err)
		}
		gone, err := waitGone(ctx, pid, step.wait)
		if err != nil || gone {
			return err
		}
	}
	return fmt.Errorf("stop the old database server %d: it does not end", pid)
}

func waitGone(ctx context.Context, pid int, wait time.Duration) (bool, error) {
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for alive(pid) {
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for the old database server: %w", ctx.Err())
		case <-deadline.C:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}
