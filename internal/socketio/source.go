package socketio

import (
	"io"
	"net"
	"sync"
	"syscall"
)

const (
	// directBuffer is shared by all links that are being read at the moment.
	directBuffer = 4096
	// ownBuffer is kept by a link that cannot be asked whether there is something to read.
	ownBuffer = 1024
)

// source reads from a connection. It has a buffer only while there is something in it.
type source struct {
	conn  net.Conn
	raw   syscall.RawConn // nil: only conn can be read
	pool  *sync.Pool      // of *[directBuffer]byte
	took  *[directBuffer]byte
	own   []byte
	ready []byte // what was read and not yet taken
	err   error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if len(s.ready) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// fill waits until there is something to take. It is called with nothing left.
func (s *source) fill() error {
	if s.raw == nil {
		return s.fillOwn()
	}
	// The frames from here down to the system call decide how large the stack of an idle session is.
	if err := s.raw.Read(s.attempt); err != nil {
		return err
	}
	return s.err
}

func (s *source) attempt(fd uintptr) (done bool) {
	if s.took == nil {
		s.took, _ = s.pool.Get().(*[directBuffer]byte) // it holds nothing else
	}
	n, again, err := readNow(fd, s.took[:])
	switch {
	case again:
		s.release()
		return false
	case err == nil && n == 0:
		err = io.EOF
	}
	s.ready, s.err = s.took[:n], err
	return true
}

func (s *source) fillOwn() error {
	if s.own == nil {
		s.own = make([]byte, ownBuffer)
	}
	n, err := s.conn.Read(s.own)
	s.ready = s.own[:n]
	if n > 0 {
		return nil
	}
	return err
}

// release gives the buffer back, unless something is in it.
func (s *source) release() {
	if s.took != nil && len(s.ready) == 0 {
		s.pool.Put(s.took)
		s.took, s.ready = nil, nil
	}
}

func newBuffers() *sync.Pool {
	return &sync.Pool{New: func() any { return new([directBuffer]byte) }}
}
