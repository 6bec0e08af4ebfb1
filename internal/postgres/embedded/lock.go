package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/llmctl/studio/internal/errs"
)

// Lock is the right to use a data dir; the system takes it back when the process
// ends, however it ends.
type Lock struct{ file *os.File }

// LockDataDir takes the data dir for this process. A second process gets an
// errs.Conflict that names the first.
func LockDataDir(dir string) (*Lock, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the database's account must pass through it
		return nil, fmt.Errorf("make data dir: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of data dir: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		raw, _ := os.ReadFile(f.Name())
		_ = f.Close()
		return nil, errs.Ef(errs.Conflict, "datadir.in_use",
			"Another llmctl (process %s) uses the data dir %s. Stop it, or give this one another --data-dir.", strings.TrimSpace(string(raw)), dir)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(fmt.Sprintln(os.Getpid())), 0)
	}
	return &Lock{file: f}, nil
}

// Release gives the data dir back.
func (l *Lock) Release() { _ = l.file.Close() }
