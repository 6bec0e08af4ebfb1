package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

// skipped are parts of the data folder that are made again, belong to a process,
// or are handled on their own.
func skipped(name string) bool {
	switch name {
	case "postgres", // the database is copied by its content
		"workspaces", // of attempts; gone with them
		"models",     // can be loaded again, and are huge
		"secret.key": // goes in encrypted, or not
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".log") ||
		strings.HasSuffix(name, ".ctl") || strings.HasSuffix(name, ".pid") || strings.HasPrefix(name, "secret.key")
}

// addFiles copies the files of the data folder.
func (w *writer) addFiles(dir string, say func(string)) ([]File, error) {
	files := []File{}
	if dir == "" {
		return files, nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	defer func() { _ = root.Close() }() // it was only read
	err = fs.WalkDir(root.FS(), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if top := !strings.Contains(path, "/"); top && path != "." && skipped(path) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !e.Type().IsRegular() {
			return nil
		}
		f, err := w.addFile(root, path)
		if err == nil {
			files = append(files, f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy the data folder: %w", err)
	}
	if len(files) > 0 {
		say(fmt.Sprintf("%d files of the data folder", len(files)))
	}
	return files, nil
}

func (w *writer) addFile(root *os.Root, path string) (File, error) {
	source, err := root.Open(path)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = source.Close() }() // it was only read
	info, err := source.Stat()
	if err != nil {
		return File{}, err
	}
	out := w.item(filePrefix + path)
	if _, err := io.Copy(out, source); err != nil {
		return File{}, fmt.Errorf("copy %s: %w", path, err)
	}
	f := File{Path: path, Mode: uint32(info.Mode().Perm())}
	f.content, err = out.done()
	return f, err
}

// stagedFiles are restored files that wait beside their place.
type stagedFiles struct {
	root  *os.Root
	dir   string
	paths []string
}

// stageFiles makes the folder in which restored files wait.
func stageFiles(dataDir string) (*stagedFiles, error) {
	if err := os.MkdirAll(dataDir, 0o711); err != nil { //nolint:gosec // as llmctl up makes it
		return nil, errs.Ef(errs.Precondition, ReasonOutput, "The data folder %s cannot be made: %s", dataDir, err)
	}
	dir, err := os.MkdirTemp(dataDir, ".restore-*")
	if err != nil {
		return nil, errs.Ef(errs.Precondition, ReasonOutput, "The data folder %s cannot be written: %s", dataDir, err)
	}
	root, err := os.OpenRoot(dataDir)
	if err != nil {
		return nil, fmt.Errorf("open the data folder: %w", err)
	}
	return &stagedFiles{root: root, dir: filepath.Base(dir)}, nil
}

func (s *stagedFiles) add(f File, r io.Reader) error {
	target := filepath.Join(s.dir, filepath.FromSlash(f.Path))
	if err := s.root.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fmt.Errorf("restore %s: %w", f.Path, err)
	}
	out, err := s.root.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(f.Mode)&0o777)
	if err != nil {
		return fmt.Errorf("restore %s: %w", f.Path, err)
	}
	_, err = io.Copy(out, r)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return fmt.Errorf("restore %s: %w", f.Path, err)
	}
	s.paths = append(s.paths, f.Path)
	return nil
}

// existing are those of the wanted files that are there already.
func (s *stagedFiles) existing(files []File) []string {
	var there []string
	for _, f := range files {
		if _, err := s.root.Lstat(filepath.FromSlash(f.Path)); err == nil {
			there = append(there, f.Path)
		}
	}
	return there
}

// place moves the files where they belong.
func (s *stagedFiles) place() error {
	for _, path := range s.paths {
		path = filepath.FromSlash(path)
		if err := s.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("restore %s: %w", path, err)
		}
		if err := s.root.Rename(filepath.Join(s.dir, path), path); err != nil {
			return fmt.Errorf("restore %s: %w", path, err)
		}
	}
	return nil
}

func (s *stagedFiles) close() error {
	return errors.Join(s.root.RemoveAll(s.dir), s.root.Close())
}
