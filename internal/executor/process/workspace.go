package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/llmctl/studio/internal/executor"
)

// workspaceName begins the names of workspaces.
const workspaceName = "node-"

// workspace is the private folder of an attempt. It is locked as long as this
// process works in it, so that others see which ones are abandoned.
type workspace struct {
	dir  string
	lock *os.File
}

// release lets others take the folder for abandoned; it is about to be removed.
func (w *workspace) release() { _ = w.lock.Close() }

// makeWorkspace makes and locks a folder. Both happen under a shared lock of the
// root, so that no survey sees a folder that is not locked yet.
func (e *Executor) makeWorkspace(p executor.Payload) (*workspace, error) {
	root, err := lockDir(e.o.Root, syscall.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	dir, err := os.MkdirTemp(e.o.Root, fmt.Sprintf("%s%d-%d-", workspaceName, p.NodeRunID, p.Attempt))
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir, syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	if e.o.UID != 0 || e.o.GID != 0 {
		if err := os.Chown(dir, e.o.UID, e.o.GID); err != nil {
			return nil, errors.Join(err, lock.Close(), os.Remove(dir))
		}
	}
	return &workspace{dir: dir, lock: lock}, nil
}

// RemoveAbandoned ends what an earlier process left behind that was killed together
// with its children, and removes its workspaces; it gives how many. Those of
// processes that live are locked, and are left alone.
func (e *Executor) RemoveAbandoned() (int, error) {
	root, err := lockDir(e.o.Root, syscall.LOCK_EX)
	if err != nil {
		return 0, fmt.Errorf("look for abandoned workspaces: %w", err)
	}
	defer func() { _ = root.Close() }()
	entries, err := os.ReadDir(e.o.Root)
	if err != nil {
		return 0, fmt.Errorf("look for abandoned workspaces: %w", err)
	}
	n := 0
	for _, entry := range entries {
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), workspaceName) {
			continue
		}
		dir := filepath.Join(e.o.Root, entry.Name())
		lock, err := lockDir(dir, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		endMarked(workspaceEntry(dir))
		e.o.Log.Info("removed an abandoned workspace and ended what worked in it", "path", dir)
		if removeAll(dir) == nil { // what cannot be removed holds nothing up
			n++
		}
		_ = lock.Close()
	}
	return n, nil
}

// lockDir opens and locks a folder; the lock goes with this process.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}
