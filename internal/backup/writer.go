package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

const (
	pieceSize = 4 << 20
	fileMode  = 0o600
)

// writer writes the archive beside its place, and renames it when it is whole.
type writer struct {
	path  string
	file  *os.File
	gzip  *gzip.Writer
	tar   *tar.Writer
	at    time.Time
	piece []byte
}

// create begins a backup. An existing file is refused unless replace says so.
func create(path string, replace bool, at time.Time) (*writer, error) {
	if _, err := os.Lstat(path); err == nil && !replace {
		return nil, errs.Ef(errs.Conflict, ReasonOutput, "%s exists. Give another name, or --force to replace it.", path)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errs.Ef(errs.Invalid, ReasonOutput, "%s cannot be written: %s", path, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".partial-*") // mode 0600
	if err != nil {
		return nil, errs.Ef(errs.Invalid, ReasonOutput, "%s cannot be written: %s", path, err)
	}
	w := &writer{path: path, file: file, at: at, piece: make([]byte, 0, pieceSize)}
	w.gzip, err = gzip.NewWriterLevel(file, gzip.BestSpeed)
	if err != nil {
		return nil, errors.Join(err, w.discard())
	}
	w.tar = tar.NewWriter(w.gzip)
	if err := w.entry(markEntry, fmt.Appendf(nil, "%d\n", Format)); err != nil {
		return nil, errors.Join(err, w.discard())
	}
	return w, nil
}

func (w *writer) entry(name string, data []byte) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: fileMode, Size: int64(len(data)), ModTime: w.at}
	if err := w.tar.WriteHeader(header); err != nil {
		return w.failed(err)
	}
	if _, err := w.tar.Write(data); err != nil {
		return w.failed(err)
	}
	return nil
}

func (w *writer) failed(err error) error {
	return errs.Ef(errs.Unavailable, ReasonOutput, "%s cannot be written: %s", w.path, err).With(err)
}

// item takes an item's content and cuts it into pieces.
type item struct {
	w     *writer
	name  string
	count int
	sum   hash.Hash
	bytes int64
}

func (w *writer) item(name string) *item {
	w.piece = w.piece[:0]
	return &item{w: w, name: name, sum: sha256.New()}
}

// Write implements io.Writer.
func (i *item) Write(p []byte) (int, error) {
	_, _ = i.sum.Write(p)
	i.bytes += int64(len(p))
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), pieceSize-len(i.w.piece))
		i.w.piece = append(i.w.piece, p[:n]...)
		p = p[n:]
		if len(i.w.piece) == pieceSize {
			if err := i.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

func (i *item) flush() error {
	i.count++
	err := i.w.entry(fmt.Sprintf("%s/%06d", i.name, i.count), i.w.piece)
	i.w.piece = i.w.piece[:0]
	return err
}

// done writes the last piece, also an empty first one.
func (i *item) done() (content, error) {
	if len(i.w.piece) > 0 || i.count == 0 {
		if err := i.flush(); err != nil {
			return content{}, err
		}
	}
	return content{Bytes: i.bytes, SHA256: hex.EncodeToString(i.sum.Sum(nil))}, nil
}

// finish writes the manifest and puts the file in its place.
func (w *writer) finish(m *Manifest) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("write the manifest: %w", err)
	}
	if err := w.entry(manifestEntry, text); err != nil {
		return err
	}
	if err := errors.Join(w.tar.Close(), w.gzip.Close(), w.file.Sync(), w.file.Close()); err != nil {
		return w.failed(err)
	}
	if err := os.Rename(w.file.Name(), w.path); err != nil {
		return w.failed(err)
	}
	dir, err := os.Open(filepath.Dir(w.path))
	if err != nil {
		return w.failed(err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// discard removes what was written so far.
func (w *writer) discard() error {
	_ = w.file.Close() // it is thrown away
	if err := os.Remove(w.file.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove an unfinished backup: %w", err)
	}
	return nil
}
