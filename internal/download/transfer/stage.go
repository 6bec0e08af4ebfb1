package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	stagesDir = ".downloads"
	partsDir  = "parts"
	treeDir   = "tree"
	lockName  = "lock"
)

// Generation orders those who have written a stage: later ones come after.
type Generation struct {
	Job     int64
	Attempt int32
}

func (g Generation) name() string { return fmt.Sprintf("g%d-%d", g.Job, g.Attempt) }

func generationOf(name string) (Generation, bool) {
	m := regexp.MustCompile(`^g([1-9]\d{0,17})-([1-9]\d{0,8})$`).FindStringSubmatch(name)
	if m == nil {
		return Generation{}, false
	}
	job, _ := strconv.ParseInt(m[1], 10, 64)
	attempt, _ := strconv.ParseInt(m[2], 10, 32)
	return Generation{Job: job, Attempt: int32(attempt)}, true
}

func (g Generation) after(o Generation) bool {
	return g.Job > o.Job || g.Job == o.Job && g.Attempt > o.Attempt
}

// Stage is where a target comes into being. It is held until Close.
type Stage struct {
	models   *os.Root // the folder of all targets
	root     *os.Root // of the generation; stays with the folder whatever its name becomes
	lock     *os.File
	target   string
	own      Generation
	boot     uint64
	admitted []File // what the tree is to hold
	// Copied tells that the former writer still exists, so its bytes were copied.
	Copied bool
}

// ErrSuperseded is a stage that a later attempt has taken.
var ErrSuperseded = errors.New("a later attempt has taken the stage")

// OpenStage takes the stage of a target for a generation. While another process
// holds it, it waits for at most patience before it copies what is there.
// ErrSuperseded if that is the process of a later generation; one that nobody holds
// is taken whatever its number (a database that was restored counts anew).
func OpenStage(ctx context.Context, models, target string, own Generation, patience time.Duration) (*Stage, error) {
	if err := os.MkdirAll(models, 0o755); err != nil { //nolint:gosec // models are for everyone on the machine who may enter the data dir
		return nil, fmt.Errorf("make the models folder: %w", err)
	}
	root, err := os.OpenRoot(models)
	if err != nil {
		return nil, fmt.Errorf("open the models folder: %w", err)
	}
	s := &Stage{models: root, target: target, own: own, boot: bootID()}
	if err := s.take(ctx, patience); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Stage) dir() string { return path.Join(stagesDir, s.target) }

func (s *Stage) take(ctx context.Context, patience time.Duration) error {
	if err := s.models.MkdirAll(s.dir(), 0o755); err != nil {
		return fmt.Errorf("make the stage: %w", err)
	}
	found, err := s.generations()
	if err != nil {
		return err
	}
	for i, g := range found {
		if i == 0 {
			err = s.inherit(ctx, g, patience)
		} else {
			err = s.models.RemoveAll(path.Join(s.dir(), g.name())) // left by a copy that did not end
		}
		if err != nil {
			return err
		}
	}
	if s.root != nil {
		return nil
	}
	return s.begin(s.own.name())
}

// generations lists those on the disk, the latest first.
func (s *Stage) generations() ([]Generation, error) {
	entries, err := fs.ReadDir(s.models.FS(), s.dir())
	if err != nil {
		return nil, fmt.Errorf("look at the stage: %w", err)
	}
	var out []Generation
	for _, e := range entries {
		if g, ok := generationOf(e.Name()); ok {
			out = append(out, g)
		} else if strings.HasPrefix(e.Name(), "new-") {
			_ = s.models.RemoveAll(path.Join(s.dir(), e.Name())) // a copy that did not end
		}
	}
	slices.SortFunc(out, func(a, b Generation) int {
		if a.after(b) {
			return -1
		}
		return 1
	})
	return out, nil
}

// begin makes an empty generation under a name, and holds it.
func (s *Stage) begin(name string) error {
	at := path.Join(s.dir(), name)
	for _, d := range []string{at, path.Join(at, partsDir), path.Join(at, treeDir)} {
		if err := s.models.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make the stage: %w", err)
		}
	}
	return s.hold(at, 0)
}

// hold locks a generation and keeps it open; errHeld if somebody else does.
func (s *Stage) hold(at string, wait time.Duration) error {
	root, err := s.models.OpenRoot(at)
	if err != nil {
		return fmt.Errorf("open the stage: %w", err)
	}
	lock, err := root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = lockFile(lock, wait)
	}
	if err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		_ = root.Close()
		if errors.Is(err, errHeld) {
			return err
		}
		return fmt.Errorf("lock the stage: %w", err)
	}
	s.root, s.lock = root, lock
	return nil
}

// inherit goes on with what a former generation left.
func (s *Stage) inherit(ctx context.Context, g Generation, patience time.Duration) error {
	old := path.Join(s.dir(), g.name())
	err := s.hold(old, patience)
	if err == nil {
		// Nobody holds it, so nobody has its files open: it becomes ours as it is.
		if err := s.models.Rename(old, path.Join(s.dir(), s.own.name())); err != nil {
			return fmt.Errorf("take over the stage: %w", err)
		}
		return nil
	}
	if !errors.Is(err, errHeld) {
		return err
	}
	if !s.own.after(g) {
		return ErrSuperseded
	}
	return s.copyFrom(ctx, old)
}

// copyFrom makes a generation of our own beside one whose holder still exists. It
// gets its name when it is complete, so that a crash meanwhile changes nothing.
func (s *Stage) copyFrom(ctx context.Context, old string) error {
	fresh := "new-" + s.own.name()
	if err := s.begin(fresh); err != nil {
		return err
	}
	s.Copied = true
	from, err := s.models.OpenRoot(old)
	if err != nil {
		return fmt.Errorf("open the former stage: %w", err)
	}
	defer from.Close()
	if err := s.copyParts(ctx, from); err != nil {
		return err
	}
	if err := s.takeTree(ctx, old, path.Join(s.dir(), fresh)); err != nil {
		return err
	}
	if err := s.models.Rename(path.Join(s.dir(), fresh), path.Join(s.dir(), s.own.name())); err != nil {
		return fmt.Errorf("name the stage: %w", err)
	}
	if err := s.models.RemoveAll(old); err != nil {
		return fmt.Errorf("remove the former stage: %w", err)
	}
	return nil
}

// copyParts takes the journals first: bytes that come afterwards do no harm, bytes
// that are counted but did not come along would.
func (s *Stage) copyParts(ctx context.Context, from *os.Root) error {
	entries, err := fs.ReadDir(from.FS(), partsDir)
	if err != nil {
		return fmt.Errorf("look at the former parts: %w", err)
	}
	for _, suffix := range []string{".journal", ".part"} {
		for _, e := range entries {
			if !strings.HasSuffix(e.Name(), suffix) {
				continue
			}
			name := path.Join(partsDir, e.Name())
			err := copyFile(ctx, from, name, s.root, name, 0o600)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func copyFile(ctx context.Context, from *os.Root, source string, to *os.Root, name string, mode fs.FileMode) error {
	in, err := from.Open(source)
	if err != nil {
		return fmt.Errorf("copy %s: %w", source, err)
	}
	defer in.Close()
	out, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	// In steps, so that the copy ends with its context; between files the kernel does
	// it, and shares the blocks where the file system can.
	for err == nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
			break
		}
		_, err = io.CopyN(out, in, 64<<20)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil {
		// What the journal says was synced is to be true of the copy as well.
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	return nil
}

// takeTree takes the verified files: nobody writes those any more.
func (s *Stage) takeTree(ctx context.Context, old, fresh string) error {
	return fs.WalkDir(s.models.FS(), path.Join(old, treeDir), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return s.link(ctx, name, path.Join(fresh, strings.TrimPrefix(name, old+"/")))
	})
}

// link gives a file a second name below the models folder, or copies it where the
// file system has no such thing. A name that is taken stays.
func (s *Stage) link(ctx context.Context, from, to string) error {
	if err := s.models.MkdirAll(path.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", to, err)
	}
	err := s.models.Link(from, to)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("link %s: %w", from, err)
	}
	return copyFile(ctx, s.models, from, s.models, to, 0o644)
}

// admit gives a verified part its name in the tree.
func (s *Stage) admit(part, name string) error {
	to := path.Join(treeDir, name)
	if err := s.root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", name, err)
	}
	if err := s.root.Chmod(part, 0o644); err != nil {
		return fmt.Errorf("admit %s: %w", name, err)
	}
	if err := s.root.Rename(part, to); err != nil {
		return fmt.Errorf("admit %s: %w", name, err)
	}
	return nil
}

// has tells whether the tree has a file; what is in it was verified.
func (s *Stage) has(f File) bool {
	info, err := s.root.Lstat(path.Join(treeDir, f.Path))
	return err == nil && info.Mode().IsRegular() && info.Size() == f.Size
}

// Close lets the stage go; what is in it stays.
func (s *Stage) Close() {
	if s.lock != nil {
		_ = s.lock.Close()
	}
	if s.root != nil {
		_ = s.root.Close()
	}
	_ = s.models.Close()
}

// Discard removes the stage with everything in it.
func (s *Stage) Discard() error {
	if err := s.models.RemoveAll(s.dir()); err != nil {
		return fmt.Errorf("remove the stage: %w", err)
	}
	return nil
}
