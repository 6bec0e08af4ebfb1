package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// Standard is the name of the process's own stream.
const Standard = "-"

const permissions = 0o640

// Error is a path that cannot be used. Want completes "want …", as the problems of
// the configuration are told.
type Error struct {
	Path  string
	Want  string
	Cause error
}

// Error tells path, what is wanted and why it is not so.
func (e *Error) Error() string { return fmt.Sprintf("log file %q: want %s", e.Path, e.Want) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// File is an open log. Its methods may be called from several goroutines.
type File struct {
	path string

	mu     sync.Mutex
	out    io.Writer
	file   *os.File // nil for the stream of the process
	closed bool
}

// Open opens the log at path; "-" is standard.
func Open(path string, standard io.Writer) (*File, error) {
	if path == Standard {
		return &File{path: path, out: standard}, nil
	}
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	return &File{path: path, out: file, file: file}, nil
}

func open(path string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_APPEND | os.O_CREATE
	if info, err := os.Stat(path); err == nil {
		switch {
		case info.IsDir():
			return nil, &Error{Path: path, Want: "a file, not a folder"}
		case info.Mode()&fs.ModeSocket != 0:
			return nil, &Error{Path: path, Want: "a file, not a socket; " + Standard + " is the stream that the process was given"}
		case info.Mode()&fs.ModeNamedPipe != 0:
			flags |= syscall.O_NONBLOCK // or it waits until somebody reads
		}
	}
	file, err := os.OpenFile(path, flags, permissions)
	if err != nil {
		return nil, &Error{Path: path, Want: wanted(err), Cause: err}
	}
	return file, nil
}

// wanted says what the path should be, given why it could not be opened.
func wanted(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "a file in a folder that exists"
	case errors.Is(err, syscall.ENXIO):
		return "a pipe that somebody reads"
	case errors.Is(err, fs.ErrPermission):
		return "a file that this process may write"
	case errors.Is(err, syscall.EROFS):
		return "a file on a file system that can be written"
	default:
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err // the path has been named already
		}
		return fmt.Sprintf("a file that can be written (%v)", err)
	}
}

// Path is the name it was opened by.
func (f *File) Path() string { return f.path }

// Write appends p. To other writers of the same file it is one piece.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	return f.out.Write(p)
}

// Reopen opens the file that has the name now, after it was rotated away, and closes
// the other one. The stream of the process stays.
func (f *File) Reopen() error {
	if f.path == Standard {
		return nil
	}
	fresh, err := open(f.path)
	if err != nil {
		return fmt.Errorf("the log stays in the file so far: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return errors.Join(os.ErrClosed, fresh.Close())
	}
	old := f.file
	f.file, f.out = fresh, fresh
	if err := old.Close(); err != nil { // a file system may only now tell that it lost something
		return fmt.Errorf("close the rotated log %s: %w", f.path, err)
	}
	return nil
}

// Close closes the file; the stream of the process stays open.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}
