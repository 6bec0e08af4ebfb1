package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

const (
	// maxDepth bounds nested folders; each that is walked is an open file.
	maxDepth = 100
	// maxFiles bounds a source.
	maxFiles = 1_000_000
	// checkTime bounds how long a check counts.
	checkTime = 5 * time.Second
)

// Fetcher is one folder.
type Fetcher struct {
	roots  Roots
	path   string
	filter *fetch.Filter
	most   int // files
}

// New makes a fetcher of a folder that lies in roots.
func New(roots Roots, path string, filter *fetch.Filter) *Fetcher {
	return &Fetcher{roots: roots, path: path, filter: filter, most: maxFiles}
}

// errEnough ends a count.
var errEnough = errors.New("enough")

// Check implements fetch.Fetcher: it counts the files, as far as that is quick.
func (f *Fetcher) Check(ctx context.Context) (fetch.Report, error) {
	t, err := f.Sync(ctx, nil)
	if err != nil {
		return fetch.Report{}, err
	}
	defer func() { _ = t.Close() }()
	began := time.Now()
	n := 0
	skipped, err := t.Walk(ctx, func(fetch.Item) error {
		n++
		if n%100 == 0 && time.Since(began) > checkTime {
			return errEnough
		}
		return nil
	})
	switch {
	case errors.Is(err, errEnough):
		return fetch.Report{Files: n, Message: fmt.Sprintf("The folder can be read. It has more than %d files that are meant.", n)}, nil
	case err != nil:
		return fetch.Report{}, err
	}
	return fetch.Report{Files: n, Message: message(n, skipped)}, nil
}

func message(n int, s fetch.Skipped) string {
	text := fmt.Sprintf("The folder can be read. Files that are meant: %d.", n)
	if s.Unreadable > 0 {
		text += fmt.Sprintf(" %d entries cannot be read, for example %s.", s.Unreadable, s.Examples[0])
	}
	if n == 0 {
		text += " Check the patterns, or whether it is the right folder."
	}
	return text
}

// Sync implements fetch.Fetcher: it opens the folder.
func (f *Fetcher) Sync(_ context.Context, _ fetch.Progress) (fetch.Tree, error) {
	root, err := f.roots.open(f.path)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, filter: f.filter, most: f.most}, nil
}

// tree is the folder as it is, not as it was: a file that changes during an index run is
// read as it is then, and the next run sees another time of it.
type tree struct {
	root   *os.Root
	filter *fetch.Filter
	most   int // files
}

// Revision implements fetch.Tree: folders have none.
func (t *tree) Revision() string { return "" }

// Close implements fetch.Tree.
func (t *tree) Close() error { return t.root.Close() }

// Walk implements fetch.Tree.
func (t *tree) Walk(ctx context.Context, f func(fetch.Item) error) (fetch.Skipped, error) {
	w := &walk{t: t, f: f}
	err := w.folder(ctx, t.root, "", 0)
	if e, ok := errors.AsType[*unlistable](err); ok && e.path == "" {
		err = openError(t.root.Name(), e.cause)
	}
	return w.skipped, err
}

type walk struct {
	t       *tree
	f       func(fetch.Item) error
	skipped fetch.Skipped
	files   int
}

// unlistable is a folder whose entries cannot be read.
type unlistable struct {
	path  string
	cause error
}

// Error implements error.
func (e *unlistable) Error() string { return "list " + e.path + ": " + e.cause.Error() }

func (w *walk) folder(ctx context.Context, dir *os.Root, prefix string, depth int) error {
	entries, err := entriesOf(dir)
	if err != nil {
		return &unlistable{path: prefix, cause: err}
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := prefix + e.Name()
		if !utf8.ValidString(e.Name()) {
			w.skipped.CannotRead(path, "its name is not UTF-8")
			continue
		}
		if e.IsDir() {
			err = w.enter(ctx, dir, e.Name(), path, depth)
		} else {
			err = w.file(dir, e, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enter walks a folder in a folder. One that cannot be listed is told, and the walk goes
// on.
func (w *walk) enter(ctx context.Context, dir *os.Root, name, path string, depth int) error {
	if !w.t.filter.Folder(path) {
		w.skipped.Excluded++
		return nil
	}
	if depth == maxDepth {
		w.skipped.CannotRead(path, "it lies deeper than "+strconv.Itoa(maxDepth)+" folders")
		return nil
	}
	sub, err := dir.OpenRoot(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // removed since it was listed
	case err != nil:
		w.skipped.CannotList(path+"/", plain(err))
		return nil
	}
	defer func() { _ = sub.Close() }()
	err = w.folder(ctx, sub, path+"/", depth+1)
	if e, ok := errors.AsType[*unlistable](err); ok {
		w.skipped.CannotList(e.path, plain(e.cause))
		return nil
	}
	return err
}

func (w *walk) file(dir *os.Root, e fs.DirEntry, path string) error {
	// What the name alone decides needs no look at the file.
	if v := w.t.filter.File(path, -1); !w.skipped.Count(v) {
		return nil
	}
	var info fs.FileInfo
	var err error
	switch {
	case e.Type().IsRegular():
		info, err = dir.Lstat(e.Name())
	case e.Type()&fs.ModeSymlink != 0:
		info, err = w.t.root.Stat(filepath.FromSlash(path)) // from the source's folder on: a link may lead anywhere in it
	default:
		w.skipped.CannotRead(path, "it is no file ("+kindOf(e.Type())+")")
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && e.Type().IsRegular():
		return nil // removed since it was listed
	case err != nil && (errors.Is(err, fs.ErrNotExist) || escapes(err)):
		w.skipped.CannotRead(path, linkReason(err))
		return nil
	case err != nil:
		w.skipped.CannotList(path, linkReason(err))
		return nil
	case !info.Mode().IsRegular():
		w.skipped.CannotRead(path, "it is a link to a "+kindOf(info.Mode())+", which is not followed")
		return nil
	}
	if !w.skipped.Count(w.t.filter.File(path, info.Size())) {
		return nil
	}
	if w.files++; w.files > w.t.most {
		return errs.Ef(errs.TooLarge, "rag.local_too_many_files", "The folder has more than %d files that are meant. Choose one of those in it, or exclude some.", w.t.most)
	}
	return w.f(fetch.Item{Path: path, Size: info.Size(), Fingerprint: fingerprint(info), ModifiedAt: info.ModTime()})
}

func linkReason(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "it is a link to nothing"
	}
	if !escapes(err) {
		return plain(err)
	}
	return "it is a link that leads out of the source"
}

func escapes(err error) bool { return plain(err) == "path escapes from parent" }

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

func fingerprint(info fs.FileInfo) string {
	return "stat:" + strconv.FormatInt(info.ModTime().UnixNano(), 10) + ":" + strconv.FormatInt(info.Size(), 10)
}

// Open implements fetch.Tree.
func (t *tree) Open(_ context.Context, item fetch.Item, limit int64) (io.ReadCloser, error) {
	// Opening a named pipe would wait for its other end.
	f, err := t.root.OpenFile(filepath.FromSlash(item.Path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fetch.GoneError(item.Path).With(err)
	case errors.Is(err, fs.ErrPermission):
		return nil, errs.Ef(errs.Forbidden, "rag.file_unreadable", "The Studio may not read %s. Give its user the right to.", item.Path).With(err)
	case err != nil:
		return nil, errs.Ef(errs.Unavailable, "rag.file_unreadable", "%s cannot be read: %s.", item.Path, linkReason(err)).With(err)
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, errs.Ef(errs.Invalid, "rag.file_unreadable", "%s is no file any more.", item.Path).With(err)
	}
	if limit > 0 && info.Size() > limit {
		_ = f.Close()
		return nil, fetch.TooLargeError(item.Path, limit)
	}
	return fetch.Limited(f, item.Path, limit), nil
}
