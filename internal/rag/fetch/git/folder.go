package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch/local"
)

// maxPointer bounds the files by which a repository refers to another place.
const maxPointer = 64 << 10

// maxAlternates is how deep object databases may refer to others; it is git's own limit.
const maxAlternates = 5

// connectFolder sets up a connection to a repository in the allowed folders. Git reads
// wherever a repository leads it, so all that may lead elsewhere is followed here first, and
// git is told to take exactly that folder and no other near it.
func (f *Fetcher) connectFolder(ctx context.Context, p program, c *connection, place string) error {
	found, err := f.o.Roots.Real(place)
	if err != nil {
		return err
	}
	w := &folder{roots: f.o.Roots}
	dir := w.gitDir(found)
	w.repository(dir)
	if w.outside != "" {
		return errs.Ef(errs.Forbidden, "rag.outside_roots",
			"The repository %s reads %s, which is not inside the allowed folders (LLMCTL_STUDIO_RAG_LOCAL_ROOTS). Index that repository itself, or have an administrator allow the folder.", place, w.outside)
	}
	partial, err := isPartial(ctx, p, dir)
	if err != nil {
		return err
	}
	if partial {
		return errs.Ef(errs.Invalid, "rag.git_partial", "The repository %s is a partial clone, which fetches what it lacks from elsewhere. Index the repository that it was cloned from, or a whole clone.", place)
	}
	if c.place, err = f.o.Roots.Open(dir); err != nil {
		return local.OpenError(place, err)
	}
	c.through("git", "upload-pack", "--strict", "--", opened(dir))
	return nil
}

// isPartial tells whether a repository lacks objects that it would fetch. It is asked as git asks
// itself, since parts of a configuration hold only for a certain repository.
func isPartial(ctx context.Context, p program, dir string) (bool, error) {
	_, err := p.run(ctx, command{dir: dir, args: []string{"config", "--includes", "--get-regexp", `^(extensions\.partialclone|remote\..*\.promisor)$`}})
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return false, nil // there is none
	}
	return err == nil, err
}

// folder follows a repository on this machine; outside is the first place that is not in
// the allowed folders.
type folder struct {
	roots    local.Roots
	outside  string
	followed int // alternates
}

// maxFollowed bounds alternates: they may name each other.
const maxFollowed = 100

// gitDir gives the folder of a repository that holds its objects: that with a work tree has
// it below .git, or says there where it is.
func (w *folder) gitDir(place string) string {
	dot := filepath.Join(place, ".git")
	text, isFolder, err := w.read(dot)
	if err != nil {
		return place
	}
	if isFolder {
		return dot
	}
	to, ok := strings.CutPrefix(strings.TrimRight(text, "\r\n"), "gitdir: ")
	if !ok {
		return place
	}
	return absolute(place, to)
}

// common is where a repository of which several work trees exist has its objects.
func (w *folder) common(dir string) string {
	if to := w.pointer(filepath.Join(dir, "commondir")); to != "" {
		return absolute(dir, to)
	}
	return dir
}

func (w *folder) repository(dir string) {
	common := w.common(dir)
	for _, place := range []string{dir, common} {
		for _, name := range []string{"", "HEAD", "commondir", "config", "config.worktree", "packed-refs", "shallow", "refs", "refs/heads"} {
			w.holds(filepath.Join(place, name))
		}
	}
	w.objects(filepath.Join(common, "objects"), 0)
}

// objects follows an object database and those that it refers to.
func (w *folder) objects(dir string, depth int) {
	for _, name := range []string{"", "info", "pack"} {
		w.holds(filepath.Join(dir, name))
	}
	list := filepath.Join(dir, "info", "alternates")
	text, _, _ := w.read(list)
	if w.outside != "" || depth > maxAlternates {
		return // git goes no deeper either
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// Git takes quotes off as it sees fit: what it makes of them is not guessed here.
		if w.followed++; strings.HasPrefix(line, `"`) || w.followed > maxFollowed {
			w.leads(list)
			return
		}
		w.objects(absolute(dir, line), depth+1)
	}
}

// holds notes a place that is not in the allowed folders.
func (w *folder) holds(place string) { _, _, _ = w.read(place) }

func (w *folder) leads(place string) {
	if w.outside == "" {
		w.outside = place
	}
}

func absolute(base, to string) string {
	if filepath.IsAbs(to) {
		return filepath.Clean(to)
	}
	return filepath.Join(base, to)
}

// pointer reads a small file, without the ends of its last line; "": there is none.
func (w *folder) pointer(name string) string {
	text, _, _ := w.read(name)
	return strings.TrimRight(text, "\r\n")
}

// read opens what a repository leads to and looks at what was opened, not at its name: that may be
// another thing a moment later. What is not in the allowed folders, or cannot be looked at
// as git would, is noted.
func (w *folder) read(name string) (text string, isFolder bool, err error) {
	file, err := w.roots.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	if err != nil {
		w.leads(name)
		return "", false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return "", err == nil, err
	}
	if !info.Mode().IsRegular() {
		w.leads(name)
		return "", false, nil
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxPointer))
	if isPointer(name) && (len(raw) == maxPointer || bytes.IndexByte(raw, 0) >= 0) {
		w.leads(name) // git reads on, or less
	}
	return string(raw), false, err
}

// isPointer tells whether git takes places from a file of this name.
func isPointer(name string) bool {
	return slices.Contains([]string{".git", "commondir", "alternates"}, filepath.Base(name))
}
