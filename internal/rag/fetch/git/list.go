package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// Limits of a repository: its files, with those of submodules, and the length of all their
// paths in bytes. A repository of a few kilobytes can hold paths without an end.
const (
	maxFiles = 1_000_000
	maxPaths = 256 << 20
	maxPath  = 16 << 10
)

// The modes of entries that are no files.
const (
	modeLink      = "120000"
	modeSubmodule = "160000"
)

// entry is a file of a commit.
type entry struct {
	path string
	mode string
	hash string
	size int64
}

var errTooMany = errors.New("too many files")

// list gives the files of a commit, in the order of their paths.
func (s *syncing) list(ctx context.Context, commit string) ([]entry, error) {
	tree := commit + "^{tree}"
	if folder := s.f.o.Subfolder; folder != "" {
		tree = commit + ":" + folder
		if err := s.checkSubfolder(ctx, tree); err != nil {
			return nil, err
		}
	}
	files, err := s.listTree(ctx, tree)
	if err != nil || !s.f.o.Submodules {
		return files, err
	}
	return s.withSubmodules(ctx, s.f.remote, commit, s.f.o.Subfolder, files, 0)
}

func (s *syncing) checkSubfolder(ctx context.Context, tree string) error {
	out, err := s.c.program.run(ctx, command{dir: s.c.dir, args: []string{"cat-file", "--batch-check"}, stdin: tree + "\n"})
	if err != nil {
		return err
	}
	if fields := strings.Fields(string(out)); len(fields) == 3 && fields[1] == "tree" {
		return nil
	}
	return errs.Ef(errs.NotFound, "rag.git_no_folder", "The repository %s has no folder %s at this commit. Check the source's subfolder.", s.f.remote.u.Redacted(), s.f.o.Subfolder)
}

func (s *syncing) listTree(ctx context.Context, tree string) ([]entry, error) {
	var files []entry
	_, err := s.c.program.run(ctx, command{
		dir: s.c.dir, args: []string{"ls-tree", "-r", "-l", "-z", "--full-tree", tree},
		stdout: func(r io.Reader) (err error) { files, err = readTree(r); return err },
	})
	if errors.Is(err, errTooMany) {
		return nil, errs.Ef(errs.TooLarge, "rag.git_too_many_files", "The repository has more than %d files, or paths that are too long. Choose a subfolder.", maxFiles)
	}
	return files, err
}

// readTree reads lines of "<mode> <type> <hash> <size>\t<path>", ended by NUL.
func readTree(r io.Reader) ([]entry, error) {
	in := bufio.NewReaderSize(r, maxPath)
	var out []entry
	paths := 0
	for {
		line, err := in.ReadSlice(0)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return out, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return nil, errTooMany
		case err != nil:
			return nil, err
		}
		meta, path, ok := strings.Cut(strings.TrimSuffix(string(line), "\x00"), "\t")
		fields := strings.Fields(meta)
		if !ok || len(fields) != 4 {
			return nil, fmt.Errorf("ls-tree: unexpected line %q", meta)
		}
		if paths += len(path); len(out) == maxFiles || paths > maxPaths {
			return nil, errTooMany
		}
		size, _ := strconv.ParseInt(fields[3], 10, 64) // "-" of submodules
		out = append(out, entry{path: path, mode: strings.Clone(fields[0]), hash: strings.Clone(fields[2]), size: size})
	}
}

// safe tells whether a path can be a file's: what a repository contains is not ours.
func safe(path string) bool { return fs.ValidPath(path) && path != "." }
