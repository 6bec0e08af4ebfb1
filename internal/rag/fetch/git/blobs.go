package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// maxReaders is how many processes read files of a tree at the same time.
const maxReaders = 4

var (
	errMissing = errors.New("the object is not there")
	errClosed  = errors.New("the tree is closed")
)

// blobs reads objects through processes that answer one after the other: starting one
// for each file would take longer than reading it.
type blobs struct {
	c      cache
	free   chan *reader // nil: one that is not started yet
	closed sync.Once
}

func newBlobs(c cache) *blobs {
	b := &blobs{c: c, free: make(chan *reader, maxReaders)}
	for range maxReaders {
		b.free <- nil
	}
	return b
}

// close ends the processes, when those that read are done. It may be called again.
func (b *blobs) close() {
	b.closed.Do(func() {
		for range maxReaders {
			if r := <-b.free; r != nil {
				r.end()
			}
		}
		close(b.free)
	})
}

// read gives an object of at most inMemory bytes.
func (b *blobs) read(ctx context.Context, hash string) ([]byte, error) {
	var r *reader
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got, ok := <-b.free:
		if !ok {
			return nil, errClosed
		}
		r = got
	}
	if r == nil {
		var err error
		if r, err = b.start(); err != nil { //nolint:contextcheck // it serves others after this read
			b.free <- nil
			return nil, err
		}
	}
	text, err := r.read(ctx, hash)
	if err != nil && !errors.Is(err, errMissing) {
		r.end() // it may be in the middle of an answer
		r = nil
	}
	b.free <- r
	return text, err
}

// reader is a process that answers with objects.
type reader struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (b *blobs) start() (*reader, error) {
	cmd := b.c.program.command(context.Background(), command{dir: b.c.dir, args: []string{"cat-file", "--batch"}})
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	return &reader{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 64<<10)}, nil
}

func (r *reader) end() {
	_ = r.in.Close()
	_ = r.cmd.Cancel()
	_ = r.cmd.Wait()
}

func (r *reader) read(ctx context.Context, hash string) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { killGroup(r.cmd.Process.Pid) })
	text, err := r.ask(hash)
	if !stop() { // it is being ended, so it answers nobody any more
		return nil, context.Cause(ctx)
	}
	return text, err
}

func (r *reader) ask(hash string) ([]byte, error) {
	if _, err := io.WriteString(r.in, hash+"\n"); err != nil {
		return nil, fmt.Errorf("ask git cat-file: %w", err)
	}
	line, err := r.out.ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("read git cat-file: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) == 2 && fields[1] == "missing" {
		return nil, errMissing
	}
	if len(fields) != 3 || fields[1] != "blob" {
		return nil, fmt.Errorf("git cat-file answers %q", line)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size > inMemory {
		return nil, fmt.Errorf("git cat-file answers %q", line)
	}
	text := make([]byte, size+1) // a line's end follows
	if _, err := io.ReadFull(r.out, text); err != nil {
		return nil, fmt.Errorf("read git cat-file: %w", err)
	}
	return text[:size], nil
}
