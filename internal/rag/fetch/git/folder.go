package git

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strconv"
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
	out, err := p.run(ctx, command{args: []string{
		"config", "--file", filepath.Join(w.common(dir), "config"), "--includes", "--get-regexp", `^(extensions\.partialclone|remote\..*\.promisor)$`,
	}})
	if err == nil && len(out) > 0 {
		return errs.Ef(errs.Invalid, "rag.git_partial", "The repository %s is a partial clone, which fetches what it lacks from elsewhere. Index the repository that it was cloned from, or a whole clone.", place)
	}
	if c.place, err = f.o.Roots.Open(dir); err != nil {
		return local.OpenError(place, err)
	}
	c.through("git", "upload-pack", "--strict", "--", opened(dir))
	return nil
}

// folder follows a repository on this machine; outside is the first place that is not in
// the allowed folders.
type folder struct {
	roots   local.Roots
	outside string
}

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
	to, ok := strings.CutPrefix(text, "gitdir: ")
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
	for _, name := range []string{"", "info", "pack", "info/alternates"} {
		w.holds(filepath.Join(dir, name))
	}
	if w.outside != "" || depth > maxAlternates {
		return // git goes no deeper either
	}
	for line := range strings.SplitSeq(w.pointer(filepath.Join(dir, "info", "alternates")), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if plain, err := strconv.Unquote(line); err == nil {
			line = plain
		}
		w.objects(absolute(dir, line), depth+1)
	}
}

// holds notes a place that is not in the allowed folders.
func (w *folder) holds(place string) { _, _, _ = w.read(place) }

func absolute(base, to string) string {
	if filepath.IsAbs(to) {
		return filepath.Clean(to)
	}
	return filepath.Join(base, to)
}

// pointer reads a small file, without its last line's end; "": there is none.
func (w *folder) pointer(name string) string {
	text, _, _ := w.read(name)
	return text
}

// read opens what a repository leads to and looks at what was opened, not at its name: that may be
// another thing a moment later. What is not in the allowed folders is noted and not read.
func (w *folder) read(name string) (text string, isFolder bool, err error) {
	file, err := w.roots.Open(name)
	if errors.Is(err, local.ErrOutside) && w.outside == "" {
		w.outside = name
	}
	if err != nil {
		return "", false, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return "", err == nil && info.IsDir(), err
	}
	raw, err := io.ReadAll(io.LimitReader(file, maxPointer))
	return strings.TrimRight(string(raw), "\r\n"), false, err
}
