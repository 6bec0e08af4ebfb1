package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// manifest is an image's entry in the tarball's list, in the format of `docker save`.
type manifest struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// archive writes images into one tarball. The library has a function for that, but it
// writes them in the order of a map, which is another one each time.
func archive(out io.Writer, images map[name.Reference]v1.Image) error {
	w := tar.NewWriter(out)
	written := map[string]bool{}
	var list []manifest
	for _, ref := range sorted(images) {
		m, err := archiveImage(w, images[ref], written)
		if err != nil {
			return err
		}
		m.RepoTags = []string{ref.String()}
		list = append(list, m)
	}
	raw, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if err := archiveFile(w, "manifest.json", int64(len(raw)), bytes.NewReader(raw)); err != nil {
		return err
	}
	return w.Close()
}

// archiveImage writes what is not written yet of an image.
func archiveImage(w *tar.Writer, i v1.Image, written map[string]bool) (manifest, error) {
	config, err := i.ConfigName()
	if err != nil {
		return manifest{}, err
	}
	raw, err := i.RawConfigFile()
	if err != nil {
		return manifest{}, err
	}
	m := manifest{Config: config.String()}
	if !written[m.Config] {
		written[m.Config] = true
		if err := archiveFile(w, m.Config, int64(len(raw)), bytes.NewReader(raw)); err != nil {
			return manifest{}, err
		}
	}
	layers, err := i.Layers()
	if err != nil {
		return manifest{}, err
	}
	for _, l := range layers {
		file, err := archiveLayer(w, l, written)
		if err != nil {
			return manifest{}, err
		}
		m.Layers = append(m.Layers, file)
	}
	return m, nil
}

func archiveLayer(w *tar.Writer, l v1.Layer, written map[string]bool) (string, error) {
	digest, err := l.Digest()
	if err != nil {
		return "", err
	}
	file := digest.Hex + ".tar.gz"
	if written[file] {
		return file, nil
	}
	written[file] = true
	size, err := l.Size()
	if err != nil {
		return "", err
	}
	content, err := l.Compressed()
	if err != nil {
		return "", err
	}
	defer func() { _ = content.Close() }()
	return file, archiveFile(w, file, size, content)
}

func archiveFile(w *tar.Writer, file string, size int64, content io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Name: file, Size: size, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.Copy(w, content)
	return err
}
