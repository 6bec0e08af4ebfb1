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
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/llmctl/studio/internal/errs"
)

const (
	maxManifest = 64 << 20
	maxMark     = 16
	maxPadding  = 64 << 10
)

// Archive is a backup file that was read and checked as a whole.
type Archive struct {
	Manifest *Manifest
	file     *os.File
}

// Open reads a backup to its end and checks every hash. Errors have one of the
// reasons ReasonNotOurs, ReasonNewer and ReasonDamaged.
func Open(name string) (*Archive, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, errs.Ef(errs.NotFound, ReasonNotOurs, "%s cannot be read: %s", name, err)
	}
	a := &Archive{file: file}
	if a.Manifest, err = check(file); err != nil {
		_ = file.Close() // it was only read
		return nil, err
	}
	return a, nil
}

// Close ends the use of the file.
func (a *Archive) Close() error { return a.file.Close() }

// damaged is a file that cannot be trusted.
func damaged(format string, args ...any) error {
	return errs.Ef(errs.Invalid, ReasonDamaged, "The backup is damaged: "+format+". Nothing was changed.", args...)
}

// walk gives every entry of the archive in order.
func walk(file io.ReadSeeker, f func(name string, r io.Reader) error) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the backup: %w", err)
	}
	packed, err := gzip.NewReader(file)
	if err != nil {
		return errs.E(errs.Invalid, ReasonNotOurs, "The file is not a backup of llmctl (it is not compressed as one).")
	}
	entries := tar.NewReader(packed)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return damaged("it cannot be read on (%s)", err)
		}
		if header.Typeflag != tar.TypeReg {
			return damaged("it has an entry that is not a file (%q)", header.Name)
		}
		if err := f(header.Name, entries); err != nil {
			return err
		}
	}
	// What is left is padding, then the checksum of gzip.
	switch _, err := io.CopyN(io.Discard, packed, maxPadding); {
	case err == nil:
		return damaged("something follows its end")
	case !errors.Is(err, io.EOF):
		return damaged("its end cannot be read (%s)", err)
	}
	return nil
}

// sums adds up the contents of items.
type sums struct {
	found map[string]*sum
	last  string
}

type sum struct {
	hash  hash.Hash
	bytes int64
	count int
}

// add takes one piece of an item. Pieces must come in order, without another
// item's between them.
func (s *sums) add(entry string, r io.Reader) error {
	name, number := path.Split(entry)
	name = strings.TrimSuffix(name, "/")
	one := s.found[name]
	if one == nil {
		one = &sum{hash: sha256.New()}
		s.found[name] = one
	} else if s.last != name {
		return damaged("the pieces of %s are not together", name)
	}
	s.last = name
	one.count++
	if n, err := strconv.Atoi(number); err != nil || n != one.count {
		return damaged("a piece of %s is missing or doubled", name)
	}
	n, err := io.Copy(one.hash, r)
	if err != nil {
		return damaged("%s cannot be read (%s)", name, err)
	}
	one.bytes += n
	return nil
}

// check reads everything and compares it with the manifest.
func check(file io.ReadSeeker) (*Manifest, error) {
	var m *Manifest
	s := &sums{found: map[string]*sum{}}
	first := true
	err := walk(file, func(name string, r io.Reader) error {
		if first {
			first = false
			return checkMark(name, r)
		}
		if m != nil {
			return damaged("something follows its manifest")
		}
		if name != manifestEntry {
			return s.add(name, r)
		}
		m = &Manifest{}
		if err := json.NewDecoder(io.LimitReader(r, maxManifest)).Decode(m); err != nil {
			return damaged("its manifest cannot be read")
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case first:
		return nil, errs.E(errs.Invalid, ReasonNotOurs, "The file is not a backup of llmctl (it is empty).")
	case m == nil:
		return nil, damaged("it has no manifest, so it was cut short")
	}
	return m, s.compare(m)
}

func checkMark(name string, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxMark))
	format, parseErr := strconv.Atoi(strings.TrimSpace(string(text)))
	if name != markEntry || err != nil || parseErr != nil {
		return errs.E(errs.Invalid, ReasonNotOurs, "The file is not a backup of llmctl.")
	}
	if format > Format {
		return errs.Ef(errs.Precondition, ReasonNewer, "The backup has format %d; this llmctl reads up to %d. Use a newer release.", format, Format)
	}
	return nil
}

func (s *sums) compare(m *Manifest) error {
	match := func(name string, want content) error {
		got := s.found[name]
		delete(s.found, name)
		switch {
		case got == nil:
			return damaged("%s is missing", name)
		case got.bytes != want.Bytes:
			return damaged("%s has %d bytes, its manifest says %d", name, got.bytes, want.Bytes)
		case hex.EncodeToString(got.hash.Sum(nil)) != want.SHA256:
			return damaged("the hash of %s does not fit", name)
		}
		return nil
	}
	for _, t := range m.Tables {
		if err := match(tablePrefix+t.Name, t.content); err != nil {
			return err
		}
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(f.Path) {
			return damaged("it names a file outside the data folder (%q)", f.Path)
		}
		if err := match(filePrefix+f.Path, f.content); err != nil {
			return err
		}
	}
	for name := range s.found {
		return damaged("%s is not in its manifest", name)
	}
	return nil
}

// pipes gives each item's content as one stream. consume is called in the order of
// the archive and must read its stream to the end.
func (a *Archive) items(consume func(name string, r io.Reader) error) error {
	var current *io.PipeWriter
	var name string
	ended := make(chan error, 1)
	finish := func(cause error) error {
		if current == nil {
			return nil
		}
		_ = current.CloseWithError(cause) // never fails, by its documentation
		current = nil
		return <-ended
	}
	err := walk(a.file, func(entry string, r io.Reader) error {
		if entry == markEntry || entry == manifestEntry {
			return finish(nil)
		}
		item := path.Dir(entry)
		if current == nil || item != name {
			if err := finish(nil); err != nil {
				return err
			}
			reader, writer := io.Pipe()
			current, name = writer, item
			go func() {
				err := consume(item, reader)
				_ = reader.CloseWithError(err) // lets the writer go on or end
				ended <- err
			}()
		}
		if _, err := io.Copy(current, r); err != nil && !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return nil
	})
	return errors.Join(finish(err), err)
}
