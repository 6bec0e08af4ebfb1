package transfer

import (
	"context"
	"crypto/sha1" //nolint:gosec // the hash that Git names its blobs by
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"sync"
	"sync/atomic"
)

// The kinds of hashes.
const (
	SHA256  = "sha256"
	GitSHA1 = "git_sha1"
)

// File is a file that is wanted.
type File struct {
	ID       int64
	Path     string // slash-separated, relative, without . and ..
	Size     int64
	HashKind string
	Hash     string
}

func (f File) key() string { return f.HashKind + "-" + f.Hash }

// Status is where a file is.
type Status = string

// The states of a file.
const (
	Pending     Status = "pending"
	Downloading Status = "downloading"
	Verifying   Status = "verifying"
	Succeeded   Status = "succeeded"
	Failed      Status = "failed"
)

// layout is how a file is begun anew.
type layout struct {
	segment int64
	again   bool
}

// syncEvery bounds what a crash of the machine takes from a file.
const syncEvery = 64 << 20

// part is a file that is coming.
type part struct {
	File
	stage *Stage

	mu        sync.Mutex
	data      *os.File
	journal   journal
	records   []record
	busy      []bool
	active    int
	verifying bool
	hopeless  bool    // wrong for the second time: nobody begins it again
	reset     *layout // what to begin anew with, as soon as nobody writes
	unsynced  int64
	status    Status
	problem   string
	dirty     bool
	closed    bool

	done    atomic.Int64
	fetched atomic.Int64
}

// open opens the part, or makes it, and reads how far it is.
func (p *part) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	flags := os.O_RDWR | os.O_CREATE
	var err error
	if p.data, err = p.stage.root.OpenFile(path.Join(partsDir, p.key()+".part"), flags, 0o600); err != nil {
		return fmt.Errorf("open the part of %s: %w", p.Path, err)
	}
	if p.journal.file, err = p.stage.root.OpenFile(path.Join(partsDir, p.key()+".journal"), flags, 0o600); err != nil {
		return fmt.Errorf("open the journal of %s: %w", p.Path, err)
	}
	if err := p.recall(); err != nil {
		return err
	}
	p.status, p.dirty = Downloading, true
	return nil
}

func (p *part) recall() error {
	info, err := p.data.Stat()
	if err != nil {
		return fmt.Errorf("look at the part of %s: %w", p.Path, err)
	}
	raw, err := readAll(p.journal.file)
	if err != nil {
		return fmt.Errorf("read the journal of %s: %w", p.Path, err)
	}
	h, records, err := parseJournal(raw, p.key(), p.Size, info.Size(), p.stage.boot)
	if err != nil {
		return p.restart(segmentSize(p.Size), false)
	}
	p.journal.header, p.records, p.busy = h, records, make([]bool, len(records))
	var n int64
	for _, r := range records {
		n += r.written
	}
	p.done.Store(n)
	return nil
}

// restart forgets all bytes. The caller holds the lock, or is alone.
func (p *part) restart(segment int64, again bool) error {
	p.journal.header = header{Version: journalVersion, Key: p.key(), Size: p.Size, Segment: max(segment, 1), Again: again}
	// First the journal: it must never count bytes that are not there.
	if err := p.journal.create(); err != nil {
		return err
	}
	if err := p.data.Truncate(0); err != nil {
		return fmt.Errorf("empty the part of %s: %w", p.Path, err)
	}
	n := p.journal.segments()
	p.records, p.busy, p.unsynced = make([]record, n), make([]bool, n), 0
	p.done.Store(0)
	p.dirty = true
	return nil
}

// verifyIt stands for a segment: nothing is missing, the file is to be verified.
const verifyIt = -1

// take gives a segment that nobody works on, or verifyIt; ok is false when there is
// nothing to do now.
func (p *part) take(limit int) (segment int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.hopeless || p.verifying || p.reset != nil || p.active >= limit {
		return 0, false
	}
	missing := false
	for i := range p.records {
		from, to := p.journal.bounds(i)
		if p.records[i].written == to-from {
			continue
		}
		missing = true
		if !p.busy[i] {
			p.busy[i] = true
			p.active++
			return i, true
		}
	}
	if missing || p.active > 0 {
		return 0, false
	}
	p.verifying = true
	p.active++
	return verifyIt, true
}

// leave gives back what take gave.
func (p *part) leave(segment int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active--
	if segment == verifyIt {
		p.verifying = false
	} else {
		p.busy[segment] = false
	}
	if r := p.reset; r != nil && p.active == 0 && !p.closed {
		p.reset = nil
		return p.restart(r.segment, r.again)
	}
	return nil
}

// renew has the file begun anew, once nobody writes any more. It fails if that has
// happened before for the same reason.
func (p *part) renew(l layout) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reset != nil {
		return true
	}
	if l.again && p.journal.Again || !l.again && p.journal.Segment >= p.Size {
		return false
	}
	l.again = l.again || p.journal.Again
	if l.segment == 0 {
		l.segment = p.journal.Segment
	}
	p.reset = &l
	return true
}

// rest is what a segment still needs.
func (p *part) rest(segment int) (from, to int64, etag string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, to = p.journal.bounds(segment)
	return from + p.records[segment].written, to, p.journal.ETag
}

// remember keeps the ETag of the server that sends the bytes.
func (p *part) remember(etag string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A file that had to be begun anew is not asked for by ETag again: servers of one
	// network may disagree about it, and the hash tells in the end.
	if p.journal.ETag != "" || etag == "" || p.journal.Again {
		return nil
	}
	p.journal.ETag = etag
	return p.journal.rewriteHeader()
}

// write puts bytes in their place, and then into the journal.
func (p *part) write(segment int, at int64, b []byte) error {
	if _, err := p.data.WriteAt(b, at); err != nil {
		return fmt.Errorf("write %s: %w", p.Path, err)
	}
	p.mu.Lock()
	r := &p.records[segment]
	r.written += int64(len(b))
	r.boot = p.stage.boot
	p.unsynced += int64(len(b))
	due := p.unsynced >= syncEvery
	if due {
		p.unsynced = 0
	}
	p.dirty = true
	err := p.journal.put(segment, *r)
	p.mu.Unlock()
	p.done.Add(int64(len(b)))
	p.fetched.Add(int64(len(b)))
	if err == nil && due {
		err = p.sync()
	}
	return err
}

// sync makes what is written survive a crash of the machine, and notes it.
func (p *part) sync() error {
	p.mu.Lock()
	written := make([]int64, len(p.records))
	for i, r := range p.records {
		written[i] = r.written
	}
	p.mu.Unlock()
	if err := p.data.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", p.Path, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.records {
		if r := &p.records[i]; i < len(written) && r.synced < written[i] && written[i] <= r.written {
			r.synced = written[i]
			if err := p.journal.put(i, *r); err != nil {
				return err
			}
		}
	}
	if err := p.journal.file.Sync(); err != nil {
		return fmt.Errorf("sync the journal of %s: %w", p.Path, err)
	}
	return nil
}

// errWrongHash is a file that is complete and another one than was published.
var errWrongHash = errors.New("wrong hash")

// verify compares the file with its hash and moves it into the tree. A wrong one
// is emptied, to be fetched anew, once: the second time is errWrongHash.
func (p *part) verify(ctx context.Context) error {
	p.set(Verifying, "")
	if err := p.data.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", p.Path, err)
	}
	found, err := digest(ctx, p.data, p.File)
	if err != nil {
		return err
	}
	if found == p.Hash {
		return p.accept()
	}
	p.mu.Lock()
	again := p.journal.Again
	p.hopeless = again
	err = p.restart(p.journal.Segment, true)
	p.mu.Unlock()
	if err != nil {
		return err
	}
	if again {
		problem := fmt.Sprintf("The hub publishes %s %s, but twice the content had %s.", kindName(p.HashKind), p.Hash, found)
		p.set(Failed, problem)
		return &FileError{Path: p.Path, Message: problem, Cause: errWrongHash}
	}
	p.set(Downloading, "")
	return nil
}

func kindName(kind string) string {
	if kind == SHA256 {
		return "SHA-256"
	}
	return "Git SHA-1"
}

// accept gives the file its name in the tree.
func (p *part) accept() error {
	p.close()
	if err := p.stage.admit(path.Join(partsDir, p.key()+".part"), p.Path); err != nil {
		return err
	}
	if err := p.stage.root.Remove(path.Join(partsDir, p.key()+".journal")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the journal of %s: %w", p.Path, err)
	}
	p.done.Store(p.Size)
	p.set(Succeeded, "")
	return nil
}

func (p *part) set(s Status, problem string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status, p.problem, p.dirty = s, problem, true
}

func (p *part) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, f := range []*os.File{p.data, p.journal.file} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// digest hashes what is on the disk, as the file's hash is made.
func digest(ctx context.Context, f *os.File, file File) (string, error) {
	var h hash.Hash
	switch file.HashKind {
	case SHA256:
		h = sha256.New()
	case GitSHA1:
		h = sha1.New() //nolint:gosec // see the import
		fmt.Fprintf(h, "blob %d\x00", file.Size)
	default:
		return "", fmt.Errorf("unknown kind of hash %q", file.HashKind)
	}
	if _, err := io.Copy(h, &reader{ctx: ctx, r: io.NewSectionReader(f, 0, file.Size+1)}); err != nil {
		return "", fmt.Errorf("read %s back: %w", file.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// reader ends with its context.
type reader struct {
	ctx context.Context //nolint:containedctx // lives as long as one copy
	r   io.Reader
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(b)
}

// FileError is a file that cannot be had.
type FileError struct {
	Path    string
	Message string // in words
	Cause   error
}

// Error implements error.
func (e *FileError) Error() string { return e.Path + ": " + e.Message }

// Unwrap gives the cause.
func (e *FileError) Unwrap() error { return e.Cause }
