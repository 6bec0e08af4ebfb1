package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
)

// manifestName is what we note of a target, beside what is in it.
const manifestName = ".llmctl-download.json"

// ModelFile describes a target to those who list models.
const ModelFile = "model.json"

// Manifest is what a target is.
type Manifest struct {
	Version int             `json:"version"`
	Repo    string          `json:"repo"`
	Commit  string          `json:"commit"`
	Files   []ManifestEntry `json:"files"`
}

// ManifestEntry is a verified file of a target. Size and time of the last change
// tell whether somebody has touched it since.
type ManifestEntry struct {
	Path     string    `json:"path"`
	Size     int64     `json:"size"`
	HashKind string    `json:"hash_kind"`
	Hash     string    `json:"hash"`
	Modified time.Time `json:"modified"`
}

// maxManifest bounds what is read of a manifest.
const maxManifest = 16 << 20

// ReadManifest gives what a target holds, without what was changed or removed
// since; nil if there is no target, or none of ours.
func ReadManifest(models, target string) (*Manifest, error) {
	root, err := os.OpenRoot(models)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none
	}
	if err != nil {
		return nil, fmt.Errorf("open the models folder: %w", err)
	}
	defer root.Close()
	return readManifest(root, target)
}

func readManifest(root *os.Root, target string) (*Manifest, error) {
	info, err := root.Stat(path.Join(target, manifestName))
	if err != nil || info.Size() > maxManifest {
		return nil, nil //nolint:nilerr,nilnil // not ours
	}
	raw, err := root.ReadFile(path.Join(target, manifestName))
	if err != nil {
		return nil, fmt.Errorf("read the manifest of %s: %w", target, err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(raw, m); err != nil || m.Version != 1 {
		return nil, nil //nolint:nilerr,nilnil // not one that we know
	}
	kept := m.Files[:0]
	for _, f := range m.Files {
		if untouched(root, path.Join(target, f.Path), f) {
			kept = append(kept, f)
		}
	}
	m.Files = kept
	return m, nil
}

func untouched(root *os.Root, name string, f ManifestEntry) bool {
	info, err := root.Lstat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() == f.Size && info.ModTime().Equal(f.Modified)
}

// Kept tells how many bytes of files a stage has already, by the files' hashes. It
// only looks, and may be called while somebody writes.
func Kept(models, target string, files []File) int64 {
	root, err := os.OpenRoot(path.Join(models, stagesDir, target))
	if err != nil {
		return 0
	}
	defer root.Close()
	s := &Stage{models: root, target: "."}
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return 0
	}
	var n int64
	for _, e := range entries {
		if _, ok := generationOf(e.Name()); ok {
			n = max(n, s.kept(e.Name(), files))
		}
	}
	return n
}

func (s *Stage) kept(generation string, files []File) int64 {
	root, err := s.models.OpenRoot(generation)
	if err != nil {
		return 0
	}
	defer root.Close()
	g := &Stage{root: root}
	var n int64
	seen := map[string]bool{}
	for _, f := range files {
		switch {
		case g.has(f):
			n += f.Size
		case !seen[f.key()]:
			seen[f.key()] = true
			n += g.keptOf(path.Join(partsDir, f.key()), f)
		}
	}
	return n
}

// keptOf tells how much of a file a part has.
func (s *Stage) keptOf(name string, f File) int64 {
	part, err := s.root.Lstat(name + ".part")
	if err != nil {
		return 0
	}
	raw, err := s.root.ReadFile(name + ".journal")
	if err != nil {
		return 0
	}
	_, records, err := parseJournal(raw, f.key(), f.Size, part.Size(), bootID())
	if err != nil {
		return 0
	}
	var n int64
	for _, r := range records {
		n += r.written
	}
	return n
}

// Reuse gives files that the target has already their names in the tree, without
// fetching them. If it is of the same commit, its other files come along.
func (s *Stage) Reuse(ctx context.Context, commit string, files []File) error {
	m, err := readManifest(s.models, s.target)
	if err != nil || m == nil {
		return err
	}
	have := make(map[string]ManifestEntry, len(m.Files))
	for _, e := range m.Files {
		have[e.Path+"\x00"+e.HashKind+"-"+e.Hash] = e
	}
	wanted := map[string]bool{}
	for _, f := range files {
		wanted[f.Path] = true
		if _, ok := have[f.Path+"\x00"+f.key()]; ok && !s.has(f) {
			if err := s.link(ctx, path.Join(s.target, f.Path), s.treePath(f.Path)); err != nil {
				return err
			}
		}
	}
	if m.Commit != commit {
		return nil
	}
	for _, e := range m.Files {
		if !wanted[e.Path] {
			if err := s.link(ctx, path.Join(s.target, e.Path), s.treePath(e.Path)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Stage) treePath(name string) string { return path.Join(s.dir(), s.own.name(), treeDir, name) }

// Place makes the tree the target, in one step, with a manifest and, unless the
// model brings one, a model.json. The stage is removed.
func (s *Stage) Place(repo, commit string, model any) error {
	if err := s.describe(repo, commit, model); err != nil {
		return err
	}
	if err := s.syncTree(); err != nil {
		return err
	}
	tree := path.Join(s.dir(), s.own.name(), treeDir)
	if err := s.swap(tree); err != nil {
		return fmt.Errorf("put %s in place: %w", s.target, err)
	}
	if err := s.syncDir("."); err != nil {
		return err
	}
	return s.Discard()
}

func (s *Stage) swap(tree string) error {
	if _, err := s.models.Lstat(s.target); errors.Is(err, fs.ErrNotExist) {
		return s.models.Rename(tree, s.target)
	}
	dir, err := s.models.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	done, err := exchange(dir, tree, s.target)
	if done || err != nil {
		return err
	}
	// Without an exchange there is a moment without the target; a crash then leaves a
	// complete tree, which the next attempt puts in place.
	old := path.Join(s.dir(), s.own.name(), "old")
	if err := s.models.Rename(s.target, old); err != nil {
		return err
	}
	return s.models.Rename(tree, s.target)
}

// describe writes manifest and model.json into the tree.
func (s *Stage) describe(repo, commit string, model any) error {
	m := Manifest{Version: 1, Repo: repo, Commit: commit, Files: []ManifestEntry{}}
	old, err := readManifest(s.models, s.target)
	if err != nil {
		return err
	}
	known := map[string]ManifestEntry{}
	if old != nil {
		for _, e := range old.Files {
			known[e.Path] = e
		}
	}
	for _, f := range s.admitted {
		known[f.Path] = ManifestEntry{Path: f.Path, Size: f.Size, HashKind: f.HashKind, Hash: f.Hash}
	}
	hasModel := false
	err = fs.WalkDir(s.root.FS(), treeDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		p := strings.TrimPrefix(name, treeDir+"/")
		if p == manifestName {
			return nil
		}
		e, ok := known[p]
		if !ok {
			return nil
		}
		hasModel = hasModel || p == ModelFile
		info, err := d.Info()
		if err != nil {
			return err
		}
		e.Modified = info.ModTime()
		m.Files = append(m.Files, e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("list the tree: %w", err)
	}
	if !hasModel && model != nil {
		if err := s.writeJSON(ModelFile, model); err != nil {
			return err
		}
	}
	return s.writeJSON(manifestName, m)
}

func (s *Stage) writeJSON(name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	// A file that an earlier attempt linked from the old target must not be written through.
	at := path.Join(treeDir, name)
	if err := s.root.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	f, err := s.root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// syncTree makes the names in the tree survive a crash of the machine; the
// contents were synced before they were verified.
func (s *Stage) syncTree() error {
	return fs.WalkDir(s.root.FS(), treeDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		f, err := s.root.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}

func (s *Stage) syncDir(name string) error {
	f, err := s.models.Open(name)
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

// RemoveTarget removes a target with everything in it. It becomes invisible at
// once. Nobody may be about to put it in place again.
func RemoveTarget(models, target string) error {
	root, err := os.OpenRoot(models)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the models folder: %w", err)
	}
	defer root.Close()
	if err := root.MkdirAll(stagesDir, 0o755); err != nil {
		return fmt.Errorf("make the stage: %w", err)
	}
	gone := path.Join(stagesDir, ".gone-"+target)
	if err := root.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove %s: %w", target, err)
	}
	if err := root.Rename(target, gone); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", target, err)
	}
	if err := root.RemoveAll(gone); err != nil {
		return fmt.Errorf("remove %s: %w", target, err)
	}
	return nil
}

// RemoveStage removes what is left of a target that did not come into being.
func RemoveStage(models, target string) error {
	root, err := os.OpenRoot(models)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the models folder: %w", err)
	}
	defer root.Close()
	if err := root.RemoveAll(path.Join(stagesDir, target)); err != nil {
		return fmt.Errorf("remove the stage of %s: %w", target, err)
	}
	return nil
}

// PlaceID names a models folder, so that others can tell whether theirs is the
// same one.
func PlaceID(models string) (string, error) {
	if err := os.MkdirAll(filepath.Join(models, stagesDir), 0o755); err != nil { //nolint:gosec // see OpenStage
		return "", fmt.Errorf("make the models folder: %w", err)
	}
	name := filepath.Join(models, stagesDir, ".place")
	for {
		raw, err := os.ReadFile(name)
		if err == nil && len(raw) > 0 {
			return string(raw), nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read the folder's name: %w", err)
		}
		// Written beside and linked, so that nobody reads half of it and the first one stays.
		own := name + "-" + uuid.NewString()
		if err := os.WriteFile(own, []byte(uuid.NewString()), 0o600); err != nil {
			return "", fmt.Errorf("name the folder: %w", err)
		}
		err = os.Link(own, name)
		if err != nil && !errors.Is(err, fs.ErrExist) { // no links here: the last one stays
			err = os.Rename(own, name)
		}
		_ = os.Remove(own)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("name the folder: %w", err)
		}
	}
}
