package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// entry is a file, a folder (mode says so) or a symbolic link in a layer.
type entry struct {
	path    string // absolute
	mode    fs.FileMode
	owner   int    // user and group
	link    string // target of a symbolic link
	source  string // file with the content
	content []byte // or the content
}

// tree is a folder with everything in it that keep accepts.
func tree(from, to string, keep func(path string) bool) ([]entry, error) {
	var out []entry
	err := filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if name != "." && !keep(p) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return appendEntry(&out, p, path.Join(to, filepath.ToSlash(name)), d)
	})
	return out, err
}

func appendEntry(out *[]entry, from, to string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		*out = append(*out, entry{path: to, mode: fs.ModeDir | 0o755})
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		*out = append(*out, entry{path: to, link: target})
	case d.Type().IsRegular():
		info, err := d.Info()
		if err != nil {
			return err
		}
		// Who may write is the builder's umask; in an image nobody may but root.
		*out = append(*out, entry{path: to, mode: 0o644 | info.Mode().Perm()&0o111, source: from})
	}
	return nil
}

// layer writes entries sorted, with their parents, all with the same time.
func layer(entries []entry, at time.Time, fast bool) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, e := range withParents(entries) {
		if err := write(w, e, at); err != nil {
			return nil, fmt.Errorf("%s: %w", e.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	level := 9
	if fast {
		level = 1
	}
	raw := buffer.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
		tarball.WithCompression(compression.GZip), tarball.WithCompressionLevel(level), tarball.WithMediaType(types.DockerLayer))
}

// withParents adds the folders above all entries and sorts; of two with one path the
// later one stays.
func withParents(entries []entry) []entry {
	set := map[string]entry{}
	for _, e := range entries {
		for dir := path.Dir(e.path); dir != "/"; dir = path.Dir(dir) {
			if _, ok := set[dir]; !ok {
				set[dir] = entry{path: dir, mode: fs.ModeDir | 0o755}
			}
		}
		set[e.path] = e
	}
	out := make([]entry, 0, len(set))
	for _, e := range set {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b entry) int { return cmp.Compare(a.path, b.path) })
	return out
}

func write(w *tar.Writer, e entry, at time.Time) error {
	h := &tar.Header{
		Name: e.path[1:], Mode: int64(e.mode.Perm()), Uid: e.owner, Gid: e.owner, ModTime: at, Format: tar.FormatPAX,
	}
	if e.mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	content := e.content
	switch {
	case e.link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
	case e.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
	default:
		h.Typeflag = tar.TypeReg
		if e.source != "" {
			var err error
			if content, err = os.ReadFile(e.source); err != nil {
				return err
			}
		}
		h.Size = int64(len(content))
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
