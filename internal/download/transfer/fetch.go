package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"time"
)

// Content is a part of a file that comes.
type Content struct {
	io.ReadCloser
	ETag string // of who sends it, if it can be asked for again by it
}

// Source gives parts of files: bytes [from, to). An error may say of itself that it
// is Temporary, after how long to try again (RetryAfter), that only whole files are
// to be had (WholeOnly), or that the content is not what it was (Replaced).
type Source interface {
	Open(ctx context.Context, f File, from, to int64, etag string) (*Content, error)
}

// FetchOptions bound a fetch.
type FetchOptions struct {
	Source  Source
	Streams int // transfers at a time (0: 8)
	PerFile int // of these, for one file (0: all)
	Tries   int // attempts of one segment in a row that bring nothing (0: 8)
	Backoff func(try int) time.Duration
	Logger  *slog.Logger
}

// readSize is how much is read before it is written and counted.
const readSize = 64 << 10

// Fetch is a transfer of files into a stage.
type Fetch struct {
	o     FetchOptions
	stage *Stage

	mu    sync.Mutex
	parts []*part
	next  int // the first that was not opened yet
	open  []*part
	left  int
	wake  chan struct{} // closed and replaced when there may be work for those who wait
	twins map[string][]File

	fetched atomic.Int64
}

// NewFetch prepares the transfer of files. What the tree has already counts as done.
func NewFetch(stage *Stage, files []File, o FetchOptions) *Fetch {
	if o.Streams <= 0 {
		o.Streams = 8
	}
	if o.PerFile <= 0 {
		o.PerFile = o.Streams
	}
	if o.Tries <= 0 {
		o.Tries = 8
	}
	if o.Backoff == nil {
		o.Backoff = Backoff
	}
	f := &Fetch{o: o, stage: stage, wake: make(chan struct{}), twins: map[string][]File{}}
	first := map[string]bool{}
	for _, file := range files {
		p := &part{File: file, stage: stage, status: Pending}
		f.parts = append(f.parts, p)
		switch {
		case stage.has(file):
			p.status, p.dirty, p.closed = Succeeded, true, true
			p.done.Store(file.Size)
		case first[file.key()]:
			// The same content under another name: it is linked when that is there.
			f.twins[file.key()] = append(f.twins[file.key()], file)
			p.closed = true
		default:
			first[file.key()] = true
			f.left++
			p.done.Store(stage.keptOf(path.Join(partsDir, file.key()), file))
			p.dirty = p.done.Load() > 0
		}
	}
	stage.admitted = files
	return f
}

// Backoff is the wait before try 1, 2, ...: from half a second to half a minute,
// spread so that many do not come back at once.
func Backoff(try int) time.Duration {
	d := min(500*time.Millisecond<<min(try-1, 10), 30*time.Second)
	return d/2 + rand.N(d/2+1) //nolint:gosec // spreads retries, guards nothing
}

// Run transfers until everything is there and verified, or something cannot be had.
// It leaves what it has on the disk, whatever ends it.
func (f *Fetch) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range f.o.Streams {
		wg.Go(func() {
			if err := f.stream(ctx); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	f.closeAll()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return f.linkTwins(ctx)
}

func (f *Fetch) closeAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.open {
		p.close()
	}
}

// stream takes one segment after the other.
func (f *Fetch) stream(ctx context.Context) error {
	buffer := make([]byte, readSize)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		p, segment, wait, err := f.take()
		if err != nil {
			return err
		}
		if p == nil {
			if wait == nil {
				return nil
			}
			select {
			case <-wait:
			case <-ctx.Done():
			}
			continue
		}
		if err := f.work(ctx, p, segment, buffer); err != nil {
			return err
		}
	}
}

// take gives the next segment; nil with a channel: there is none now; nil without:
// there will be none any more.
func (f *Fetch) take() (*part, int, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for _, p := range f.open {
			if segment, ok := p.take(f.o.PerFile); ok {
				return p, segment, nil, nil
			}
		}
		opened, err := f.openNext()
		if err != nil {
			return nil, 0, nil, err
		}
		if opened {
			continue
		}
		if f.left == 0 {
			return nil, 0, nil, nil
		}
		return nil, 0, f.wake, nil
	}
}

func (f *Fetch) openNext() (bool, error) {
	for f.next < len(f.parts) && f.parts[f.next].closed {
		f.next++
	}
	if f.next == len(f.parts) || len(f.open) >= f.o.Streams {
		return false, nil
	}
	p := f.parts[f.next]
	f.next++
	if err := p.open(); err != nil {
		p.close()
		return false, err
	}
	f.open = append(f.open, p)
	return true, nil
}

// work brings one segment, or verifies the file.
func (f *Fetch) work(ctx context.Context, p *part, segment int, buffer []byte) error {
	var err error
	if segment == verifyIt {
		err = p.verify(ctx)
	} else {
		err = f.segment(ctx, p, segment, buffer)
	}
	if lerr := p.leave(segment); err == nil {
		err = lerr
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.closed {
		f.drop(p)
	}
	close(f.wake)
	f.wake = make(chan struct{})
	return err
}

func (f *Fetch) drop(p *part) {
	for i, o := range f.open {
		if o == p {
			f.open = append(f.open[:i], f.open[i+1:]...)
			f.left--
			return
		}
	}
}

// What errors may say of themselves.
type (
	temporary interface{ Temporary() bool }
	patient   interface{ RetryAfter() time.Duration }
	wholeOnly interface{ WholeOnly() bool }
	replaced  interface{ Replaced() bool }
)

// segment tries until it is there. Attempts count only as long as nothing comes.
func (f *Fetch) segment(ctx context.Context, p *part, segment int, buffer []byte) error {
	for try := 1; ; try++ {
		n, err := f.once(ctx, p, segment, buffer)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if done, err := f.renewed(p, err); done {
			return err
		}
		if n > 0 {
			try = 1
		}
		if e, ok := errors.AsType[temporaryError](err); !ok || !e.Temporary() || try >= f.o.Tries {
			return err
		}
		if err := f.pause(ctx, try, err); err != nil {
			return err
		}
	}
}

// temporaryError is an error that tells whether it is.
type temporaryError interface {
	error
	temporary
}

// renewed begins a file anew where that is what an error asks for; done tells that
// this segment's work is over.
func (f *Fetch) renewed(p *part, err error) (done bool, out error) {
	if w, ok := err.(wholeOnly); ok && w.WholeOnly() {
		if p.renew(layout{segment: max(p.Size, 1)}) {
			return true, nil
		}
		return true, err
	}
	if r, ok := err.(replaced); ok && r.Replaced() {
		if p.renew(layout{again: true}) {
			return true, nil
		}
		return true, err
	}
	return false, nil
}

func (f *Fetch) pause(ctx context.Context, try int, cause error) error {
	wait := f.o.Backoff(try)
	if a, ok := cause.(patient); ok {
		wait = max(wait, a.RetryAfter())
	}
	f.o.Logger.DebugContext(ctx, "transfer goes on after a pause", "try", try, "wait", wait, "error", cause)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// once asks for what a segment still needs; n is how much of it came.
func (f *Fetch) once(ctx context.Context, p *part, segment int, buffer []byte) (n int64, err error) {
	from, to, etag := p.rest(segment)
	if from == to {
		return 0, nil
	}
	content, err := f.o.Source.Open(ctx, p.File, from, to, etag)
	if err != nil {
		return 0, err
	}
	defer content.Close()
	if err := p.remember(content.ETag); err != nil {
		return 0, err
	}
	for at := from; at < to; {
		m, err := content.Read(buffer[:min(int64(len(buffer)), to-at)])
		if m > 0 {
			if werr := p.write(segment, at, buffer[:m]); werr != nil {
				return n, werr
			}
			f.fetched.Add(int64(m))
			at, n = at+int64(m), n+int64(m)
		}
		if at == to {
			return n, nil
		}
		if errors.Is(err, io.EOF) {
			return n, &shortError{path: p.Path}
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// shortError is an answer that ended before its end.
type shortError struct{ path string }

// Error implements error.
func (e *shortError) Error() string { return e.path + ": the answer ended early" }

// Temporary tells that trying again helps.
func (*shortError) Temporary() bool { return true }

func (f *Fetch) linkTwins(ctx context.Context) error {
	for _, p := range f.parts {
		for _, twin := range f.twins[p.key()] {
			if p.Path == twin.Path || p.status != Succeeded {
				continue
			}
			if err := f.stage.link(ctx, f.stage.treePath(p.Path), f.stage.treePath(twin.Path)); err != nil {
				return err
			}
		}
	}
	for _, p := range f.parts {
		if p.status != Succeeded {
			if !f.stage.has(p.File) {
				return fmt.Errorf("%s is missing from the stage", path.Base(p.Path))
			}
			p.done.Store(p.Size)
			p.set(Succeeded, "")
		}
	}
	return nil
}

// FileState is how far a file is.
type FileState struct {
	ID      int64
	Status  Status
	Done    int64
	Fetched int64
	Ranges  [][2]int64
	Problem string
}

// Changes gives the files that changed since the last call, at most limit, and the
// sums over all of them.
func (f *Fetch) Changes(limit int) (changed []FileState, done, fetched int64, finished int) {
	f.mu.Lock()
	parts := f.parts
	f.mu.Unlock()
	for _, p := range parts {
		p.mu.Lock()
		done += p.done.Load()
		if p.status == Succeeded {
			finished++
		}
		if p.dirty && len(changed) < limit {
			p.dirty = false
			changed = append(changed, p.state())
		}
		p.mu.Unlock()
	}
	return changed, done, f.fetched.Load(), finished
}

// state is called with the lock.
func (p *part) state() FileState {
	s := FileState{ID: p.ID, Status: p.status, Done: p.done.Load(), Fetched: p.fetched.Load(), Problem: p.problem, Ranges: [][2]int64{}}
	if p.status == Succeeded {
		s.Done = p.Size
		if p.Size > 0 {
			s.Ranges = append(s.Ranges, [2]int64{0, p.Size})
		}
		return s
	}
	for i, r := range p.records {
		from, _ := p.journal.bounds(i)
		if r.written == 0 {
			continue
		}
		if n := len(s.Ranges); n > 0 && s.Ranges[n-1][1] == from {
			s.Ranges[n-1][1] = from + r.written
			continue
		}
		s.Ranges = append(s.Ranges, [2]int64{from, from + r.written})
	}
	return s
}

// Again has the next Changes give files once more.
func (f *Fetch) Again(states []FileState) {
	byID := make(map[int64]bool, len(states))
	for _, s := range states {
		byID[s.ID] = true
	}
	for _, p := range f.parts {
		if byID[p.ID] {
			p.mu.Lock()
			p.dirty = true
			p.mu.Unlock()
		}
	}
}

// Changed tells whether Changes would give any file.
func (f *Fetch) Changed() bool {
	for _, p := range f.parts {
		p.mu.Lock()
		dirty := p.dirty
		p.mu.Unlock()
		if dirty {
			return true
		}
	}
	return false
}
