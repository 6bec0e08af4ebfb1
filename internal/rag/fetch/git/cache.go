package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// headRef is where the commit is noted that the copy holds.
const headRef = "refs/llmctl/head"

// cache is a source's repository on this host.
type cache struct {
	dir     string // <data>/rag/git/<id>.git
	program program
}

func (c cache) lockFile() string { return strings.TrimSuffix(c.dir, ".git") + ".lock" }

// remoteFile says which address the copy is of; suspectFile that reading it failed.
func (c cache) remoteFile() string  { return filepath.Join(c.dir, "llmctl-remote") }
func (c cache) suspectFile() string { return filepath.Join(c.dir, "llmctl-suspect") }

// lock waits until no other process of this host changes the copy.
func (c cache) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(c.dir), 0o700); err != nil {
		return nil, fmt.Errorf("make folder for repositories: %w", err)
	}
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		f, err := c.tryLock()
		if err != nil {
			return nil, err
		}
		if f != nil {
			return func() { _ = f.Close() }, nil // which gives the lock back
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-ticker.C:
		}
	}
}

// tryLock takes the lock if nobody has it. Whoever removes a copy removes its lock with it:
// a file that is no more where it was opened locks nothing.
func (c cache) tryLock() (*os.File, error) {
	f, err := os.OpenFile(c.lockFile(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of repository: %w", err)
	}
	held, err := tryLock(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock repository: %w", err)
	}
	if held {
		mine, errMine := f.Stat()
		there, errThere := os.Stat(c.lockFile())
		held = errMine == nil && errThere == nil && os.SameFile(mine, there)
	}
	if !held {
		_ = f.Close()
		return nil, nil //nolint:nilnil // nobody's fault
	}
	return f, nil
}

// ready makes the repository, anew if it is of another address or suspect.
func (c cache) ready(ctx context.Context, remote string, sha256 bool) error {
	text, err := os.ReadFile(c.remoteFile())
	_, suspect := os.Stat(c.suspectFile())
	if err == nil && string(text) == remote && errors.Is(suspect, fs.ErrNotExist) {
		return nil
	}
	return c.anew(ctx, remote, sha256)
}

func (c cache) anew(ctx context.Context, remote string, sha256 bool) error {
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("remove repository: %w", err)
	}
	format := "sha1"
	if sha256 {
		format = "sha256"
	}
	_, err := c.program.run(ctx, command{args: []string{"init", "--quiet", "--bare", "--template=", "--object-format=" + format, "--", c.dir}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.remoteFile(), []byte(remote), 0o600); err != nil {
		return fmt.Errorf("note the repository's address: %w", err)
	}
	return nil
}

// suspect has the next synchronisation make the copy anew.
func (c cache) suspect() { _ = os.WriteFile(c.suspectFile(), nil, 0o600) }

// head is the commit that the copy holds; "": none.
func (c cache) head(ctx context.Context) string {
	out, err := c.program.run(ctx, command{dir: c.dir, args: []string{"rev-parse", "--quiet", "--verify", headRef + "^{commit}"}})
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// maxPacks is how many fetches are kept apart before they are put together, and what
// no branch shows any more is removed.
const maxPacks = 20

// tidy does so when there are too many. If it takes longer than most, the copy is made anew the
// next time: its files can be read all the same.
func (c cache) tidy(ctx context.Context, most time.Duration) error {
	packs, err := filepath.Glob(filepath.Join(c.dir, "objects", "pack", "*.pack"))
	if err != nil || len(packs) < maxPacks {
		return err
	}
	for _, args := range [][]string{{"repack", "-a", "-d", "-q"}, {"prune", "--expire=now"}} {
		_, err := c.program.run(ctx, command{dir: c.dir, args: args, time: most})
		if errors.Is(err, errLocal) {
			c.suspect()
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// size is how much the copy takes.
func (c cache) size() int64 {
	var n int64
	_ = filepath.WalkDir(filepath.Join(c.dir, "objects"), func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // files come and go while a fetch goes on
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}

// watched gives a context that ends when the copy grows beyond most.
func (c cache) watched(ctx context.Context, most int64) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(500 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if c.size() > most {
					cancel(errTooBig)
					return
				}
			}
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}

// Clean removes the copies of sources that keep does not know any more. Those that a
// process has its hands on stay until the next time.
func Clean(dir string, keep func(id int64) bool) (removed int, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list repositories: %w", err)
	}
	for _, e := range entries {
		name, isCopy := strings.CutSuffix(e.Name(), ".git")
		id, err := strconv.ParseInt(name, 10, 64)
		if !isCopy || err != nil || keep(id) {
			continue
		}
		c := cache{dir: filepath.Join(dir, e.Name())}
		gone, err := c.remove()
		if err != nil {
			return removed, err
		}
		if gone {
			removed++
		}
	}
	return removed, nil
}

func (c cache) remove() (bool, error) {
	f, err := c.tryLock()
	if f == nil || err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	if err := errors.Join(os.RemoveAll(c.dir), os.Remove(c.lockFile())); err != nil {
		return false, fmt.Errorf("remove repository: %w", err)
	}
	return true, nil
}
