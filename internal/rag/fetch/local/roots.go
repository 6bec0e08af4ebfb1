package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
)

// variable names the setting in sentences for people.
const variable = "LLMCTL_STUDIO_RAG_LOCAL_ROOTS"

// maxFolders bounds a listing for people.
const maxFolders = 1000

// Roots are the folders that sources may lie in.
type Roots struct{ paths []string }

// NewRoots takes the folders as they are configured; relative ones begin at the
// working folder.
func NewRoots(paths []string) (Roots, error) {
	var r Roots
	for _, p := range paths {
		full, err := filepath.Abs(p)
		if err != nil {
			return r, fmt.Errorf("read %s: %w", variable, err)
		}
		if !slices.Contains(r.paths, full) {
			r.paths = append(r.paths, full)
		}
	}
	return r, nil
}

// Root is an allowed folder.
type Root struct {
	Path   string `json:"path"`
	Exists bool   `json:"exists"`
}

// List gives the allowed folders.
func (r Roots) List() []Root {
	out := make([]Root, len(r.paths))
	for i, p := range r.paths {
		info, err := os.Stat(p)
		out[i] = Root{Path: p, Exists: err == nil && info.IsDir()}
	}
	return out
}

// Clean says what is wrong with a path as text ("": nothing), and writes it as it is
// stored. Whether it exists is another question: sources are set up before a disk is
// mounted, too.
func (r Roots) Clean(path string) (clean, problem string) {
	switch {
	case path == "":
		return path, "is missing; give the folder to index"
	case !utf8.ValidString(path) || strings.ContainsRune(path, 0) || len(path) > 4096:
		return path, "must be UTF-8 of at most 4096 bytes without NUL"
	case !filepath.IsAbs(path):
		return path, fmt.Sprintf("is %q; accepted is a path from the root, such as %s", path, r.example())
	}
	clean = filepath.Clean(path)
	if _, _, ok := r.within(clean); !ok {
		return clean, r.outside(clean)
	}
	return clean, ""
}

func (r Roots) example() string {
	if len(r.paths) > 0 {
		return filepath.Join(r.paths[0], "docs")
	}
	return "/srv/docs"
}

func (r Roots) outside(path string) string {
	if len(r.paths) == 0 {
		return fmt.Sprintf("is %s, which is not inside the allowed folders (%s is empty). An administrator adds it there and starts the Studio again", path, variable)
	}
	return fmt.Sprintf("is %s, which is not inside the allowed folders (%s is %s). Choose a folder in one of them, or have an administrator add it and start the Studio again",
		path, variable, strings.Join(r.paths, ", "))
}

// within finds the deepest root that a clean path lies in, and the way from there.
func (r Roots) within(path string) (root, rest string, ok bool) {
	for _, p := range r.paths {
		rel, err := filepath.Rel(p, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) || len(p) < len(root) {
			continue
		}
		root, rest, ok = p, rel, true
	}
	return root, rest, ok
}

// open opens a folder from its root on. Errors: forbidden outside the roots,
// not_found.
func (r Roots) open(path string) (*os.Root, error) {
	root, rest, ok := r.within(filepath.Clean(path))
	if !ok {
		return nil, errs.Ef(errs.Forbidden, "rag.outside_roots", "The folder %s.", r.outside(path))
	}
	base, err := os.OpenRoot(root)
	if err != nil {
		return nil, openError(root, err)
	}
	if rest == "." {
		return base, nil
	}
	defer func() { _ = base.Close() }()
	folder, err := base.OpenRoot(rest)
	if err != nil {
		return nil, openError(path, err)
	}
	return folder, nil
}

func openError(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.Ef(errs.NotFound, "rag.folder_missing",
			"The folder %s does not exist on this machine. Check its name, or mount it; with several workers each of them needs it.", path).With(err)
	case errors.Is(err, fs.ErrPermission):
		return errs.Ef(errs.Forbidden, "rag.folder_unreadable", "The Studio may not read the folder %s. Give its user the right to.", path).With(err)
	case errors.Is(err, syscall.ENOTDIR) || plain(err) == "not a directory":
		return errs.Ef(errs.Invalid, "rag.not_a_folder", "%s is not a folder. Give the folder that it lies in, and name the file in include.", path).With(err)
	case strings.Contains(err.Error(), "escapes"):
		return errs.Ef(errs.Forbidden, "rag.outside_roots",
			"The folder %s is, or is reached by, a link that leads out of the allowed folders. Give the place that it leads to, if that is allowed (%s).", path, variable).With(err)
	}
	return errs.Ef(errs.Unavailable, "rag.folder_unreadable", "The folder %s cannot be opened: %s.", path, plain(err)).With(err)
}

// plain is what the system says of an error, without the path that is told anyway.
func plain(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// Folder is a folder in a listing.
type Folder struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// Browse lists the folders in a folder, for people who choose one. Links are left
// out. Errors: forbidden outside the roots, not_found.
func (r Roots) Browse(path string) ([]Folder, error) {
	if _, problem := r.Clean(path); problem != "" {
		return nil, errs.E(errs.Invalid, "rag.outside_roots", "The folder cannot be shown.", errs.Detail{Location: "query.path", Message: problem})
	}
	path = filepath.Clean(path)
	root, err := r.open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	entries, err := entriesOf(root)
	if err != nil {
		return nil, openError(path, err)
	}
	out := make([]Folder, 0, min(len(entries), maxFolders))
	for _, e := range entries {
		if len(out) == maxFolders {
			break
		}
		if e.IsDir() && utf8.ValidString(e.Name()) {
			out = append(out, Folder{Name: e.Name(), Path: filepath.Join(path, e.Name())})
		}
	}
	return out, nil
}

// entriesOf lists a folder in the order of paths: a folder sorts as if its name ended
// with a slash, since what is in it goes on so.
func entriesOf(root *os.Root) ([]fs.DirEntry, error) {
	f, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var entries []fs.DirEntry
	for {
		some, err := f.ReadDir(entriesAtOnce)
		if entries = append(entries, some...); len(entries) > maxEntries {
			return nil, errTooMany
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return entries, nil
}

// Bounds of a folder.
const (
	maxEntries    = 1_000_000
	entriesAtOnce = 10_000
)

var errTooMany = fmt.Errorf("it has more than %d entries", maxEntries)

func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}

// Real gives where a folder in the roots really is, for programs that are given paths.
// Errors: as those of a fetcher.
func (r Roots) Real(path string) (string, error) {
	root, err := r.open(path)
	if err != nil {
		return "", err
	}
	_ = root.Close()
	place, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", openError(path, err)
	}
	base, _, _ := r.within(filepath.Clean(path))
	if base, err = filepath.EvalSymlinks(base); err != nil {
		return "", openError(path, err)
	}
	if rel, err := filepath.Rel(base, place); err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", openError(path, ErrOutside)
	}
	return place, nil
}

// ErrOutside is that a place is not in the allowed folders.
var ErrOutside = errors.New("path escapes from parent")

// Open opens a file or a folder that lies in the allowed folders when all links are
// followed, absolute ones too. It does not wait for the other end of a pipe. That it lies there
// holds for what is opened: a link that is put in its way meanwhile leads nowhere. Errors:
// ErrOutside, and those of the system.
func (r Roots) Open(place string) (*os.File, error) {
	whole, err := filepath.EvalSymlinks(place)
	if err != nil {
		return nil, err
	}
	for _, p := range r.paths {
		base, err := filepath.EvalSymlinks(p)
		if err != nil {
			continue
		}
		rel, err := filepath.Rel(base, whole)
		if err != nil || !filepath.IsLocal(rel) {
			continue
		}
		root, err := os.OpenRoot(base)
		if err != nil {
			return nil, err
		}
		defer func() { _ = root.Close() }()
		f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil && strings.Contains(err.Error(), "escapes") {
			return nil, ErrOutside
		}
		return f, err
	}
	return nil, ErrOutside
}

// OpenError says why a place cannot be opened, in a sentence for people.
func OpenError(place string, err error) error { return openError(place, err) }
