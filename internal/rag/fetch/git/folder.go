package git

import (
	"context"
	"io"
	"os"
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
	c.through("git", "upload-pack", "--strict", "--", dir)
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
	info, err := os.Stat(dot)
	if err != nil {
		return place
	}
	w.holds(dot)
	if info.IsDir() {
		return dot
	}
	to, ok := strings.CutPrefix(pointer(dot), "gitdir: ")
	if !ok {
		return place
	}
	return absolute(place, to)
}

// common is where a repository of which several work trees exist has its objects.
func (*folder) common(dir string) string {
	if to := pointer(filepath.Join(dir, "commondir")); to != "" {
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
	for line := range strings.SplitSeq(pointer(filepath.Join(dir, "info", "alternates")), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if plain, err := strconv.Unquote(line); err == nil {
			line = plain
		}
		w.objects(absolute(dir, line), depth+1)
	}
}

func (w *folder) holds(place string) {
	if w.outside == "" && !w.roots.Holds(place) {
		w.outside = place
	}
}

func absolute(base, to string) string {
	if filepath.IsAbs(to) {
		return filepath.Clean(to)
	}
	return filepath.Join(base, to)
}

// pointer reads a small file, without its last line's end; "": there is none.
func pointer(name string) string {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	file, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxPointer))
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\r\n")
}
