package git

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/fetch"
)

// inMemory is up to which size a file is read whole; larger ones have a process of
// their own.
const inMemory = 8 << 20

// tree is a commit in the copy.
type tree struct {
	c      cache
	filter *fetch.Filter
	commit string
	files  []entry
	blobs  *blobs
}

func newTree(c cache, filter *fetch.Filter, commit string, files []entry) *tree {
	return &tree{c: c, filter: filter, commit: commit, files: files, blobs: newBlobs(c)}
}

// Revision implements fetch.Tree: the commit.
func (t *tree) Revision() string { return t.commit }

// Close implements fetch.Tree.
func (t *tree) Close() error { t.blobs.close(); return nil }

// Walk implements fetch.Tree. It reads nothing from disk.
func (t *tree) Walk(ctx context.Context, f func(fetch.Item) error) (fetch.Skipped, error) {
	var skipped fetch.Skipped
	folders := map[string]bool{}
	counted := map[string]bool{} // folders that are left out
	for _, e := range t.files {
		if err := ctx.Err(); err != nil {
			return skipped, err
		}
		if folder, ok := t.meant(folders, e.path); !ok {
			if !counted[folder] {
				counted[folder] = true
				skipped.Excluded++
			}
			continue
		}
		switch {
		case e.mode == modeLink || e.mode == modeSubmodule:
			skipped.Excluded++
			continue
		case !utf8.ValidString(e.path):
			skipped.CannotRead(e.path, "its name is not UTF-8")
			continue
		case !safe(e.path):
			skipped.CannotRead(e.path, "its name is no path")
			continue
		}
		if !skipped.Count(t.filter.File(e.path, e.size)) {
			continue
		}
		if err := f(fetch.Item{Path: e.path, Size: e.size, Fingerprint: prefix + e.hash}); err != nil {
			return skipped, err
		}
	}
	return skipped, nil
}

const prefix = "git:"

// meant tells whether all folders of a path are, or which one is not.
func (t *tree) meant(known map[string]bool, path string) (string, bool) {
	for i := 0; ; {
		next := strings.IndexByte(path[i:], '/')
		if next < 0 {
			return "", true
		}
		i += next
		folder := path[:i]
		ok, seen := known[folder]
		if !seen {
			ok = t.filter.Folder(folder)
			known[folder] = ok
		}
		if !ok {
			return folder, false
		}
		i++
	}
}

// Open implements fetch.Tree.
func (t *tree) Open(ctx context.Context, item fetch.Item, limit int64) (io.ReadCloser, error) {
	hash, ok := strings.CutPrefix(item.Fingerprint, prefix)
	if !ok || !isHash(hash) {
		return nil, errs.Ef(errs.Invalid, "rag.fingerprint", "%q is not the fingerprint of a file in a Git repository.", item.Fingerprint)
	}
	if limit > 0 && item.Size > limit {
		return nil, fetch.TooLargeError(item.Path, limit)
	}
	if item.Size > inMemory {
		return t.stream(ctx, item, hash, limit)
	}
	text, err := t.blobs.read(ctx, hash)
	switch {
	case err == nil:
		return fetch.Limited(io.NopCloser(bytes.NewReader(text)), item.Path, limit), nil
	case ctx.Err() != nil, errors.Is(err, errClosed):
		return nil, err
	}
	t.c.suspect()
	if errors.Is(err, errMissing) {
		return nil, fetch.GoneError(item.Path).With(err)
	}
	return nil, errs.Ef(errs.Unavailable, "rag.file_unreadable",
		"%s cannot be read from the copy of the repository, which will be fetched anew by the next index run.", item.Path).With(err)
}

// stream reads a large file.
func (t *tree) stream(ctx context.Context, item fetch.Item, hash string, limit int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	cmd := t.c.program.command(ctx, command{dir: t.c.dir, args: []string{"cat-file", "blob", hash}})
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nil, errs.Ef(errs.Unavailable, "rag.file_unreadable", "%s cannot be read: git could not be started.", item.Path).With(err)
	}
	return fetch.Limited(&streamed{ReadCloser: pipe, left: item.Size, path: item.Path, end: func() { cancel(); _ = cmd.Wait() }}, item.Path, limit), nil
}

// streamed is the output of a process. That it ends early is an error.
type streamed struct {
	io.ReadCloser
	left int64
	path string
	end  func()
}

// Read implements io.Reader.
func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	s.left -= int64(n)
	if errors.Is(err, io.EOF) && s.left > 0 {
		return n, errs.Ef(errs.Unavailable, "rag.file_unreadable", "%s could not be read to its end.", s.path)
	}
	return n, err
}

// Close implements io.Closer.
func (s *streamed) Close() error { s.end(); return nil }

func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}
