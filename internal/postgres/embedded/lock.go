package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/llmctl/studio/internal/errs"
)

// Reasons of the errors for users.
const (
	ReasonInUse        = "data_dir.in_use"
	ReasonUnusable     = "data_dir.unusable"
	ReasonNoPrograms   = "postgres.programs_missing"
	ReasonMajorMissing = "postgres.major_missing"
	ReasonNoAccount    = "postgres.no_account"
	ReasonStart        = "postgres.start_failed"
	ReasonNotRunning   = "postgres.not_running"
)

// dataDirMode lets other accounts pass through to folders of their own, but not
// look around.
const dataDirMode = 0o711

// Lock is the right to use a data folder.
type Lock struct {
	dir  string
	file *os.File
}

// LockDataDir takes the data folder for this process, and makes it when it does
// not exist. It does not wait: when another process has it, the error has the
// reason ReasonInUse. The kernel releases the lock when the process ends.
func LockDataDir(dir string) (*Lock, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("locate data folder: %w", err)
	}
	if err := os.MkdirAll(dir, dataDirMode); err != nil {
		return nil, errs.Ef(errs.Precondition, ReasonUnusable,
			"The data folder %s cannot be made. Give --data-dir or LLMCTL_STUDIO_DATA_DIR a folder that can be written.", dir).With(err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "llmctl.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errs.Ef(errs.Precondition, ReasonUnusable,
			"The data folder %s cannot be written by this account.", dir).With(err)
	}
	if err := flock(file); err != nil {
		defer func() { _ = file.Close() }()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errs.Ef(errs.Conflict, ReasonInUse,
				"The data folder %s is in use by another llmctl%s. Stop that one, or give --data-dir another folder.", dir, holder(file))
		}
		return nil, errs.Ef(errs.Precondition, ReasonUnusable,
			"The data folder %s cannot be locked. Is it on a network file system? Give --data-dir a local folder.", dir).With(err)
	}
	l := &Lock{dir: dir, file: file}
	if err := l.sign(); err != nil {
		l.Release()
		return nil, err
	}
	return l, nil
}

// Dir is the absolute path of the locked folder.
func (l *Lock) Dir() string { return l.dir }

// Release gives the folder free. The file stays: removing it would let two
// processes lock two files of the same name.
func (l *Lock) Release() { _ = l.file.Close() } // nothing was written that could get lost

// sign writes the process id into the file, for the message of a second process.
func (l *Lock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("sign data folder: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("sign data folder: %w", err)
	}
	return nil
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// holder names the process in the lock file, if it says one.
func holder(file *os.File) string {
	text, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return ""
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
