package serving

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
)

// gate bounds how many connections are open at once. While it is full nobody
// accepts, so further connections wait in the kernel's backlog, where another worker
// may take them.
type gate struct {
	slots  chan struct{}
	taken  atomic.Int64 // connections; a slot may also be held by somebody who waits for one
	closed chan struct{}
	once   sync.Once
}

func newGate(limit int) *gate {
	return &gate{slots: make(chan struct{}, max(limit, 1)), closed: make(chan struct{})}
}

func (g *gate) open() int { return int(g.taken.Load()) }

func (g *gate) close() { g.once.Do(func() { close(g.closed) }) }

func (g *gate) listen(ln net.Listener) net.Listener { return &gatedListener{Listener: ln, gate: g} }

type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept waits for a place before it takes a connection out of the backlog.
func (l *gatedListener) Accept() (net.Conn, error) {
	select {
	case l.gate.slots <- struct{}{}:
	case <-l.gate.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.gate.slots
		return nil, err
	}
	l.gate.taken.Add(1)
	leave := sync.OnceFunc(func() { l.gate.taken.Add(-1); <-l.gate.slots })
	// The concrete types stay reachable through the embedding: writing several
	// buffers in one system call depends on it.
	switch conn := c.(type) {
	case *net.TCPConn:
		return &tcpConn{TCPConn: conn, leave: leave}, nil
	case *net.UnixConn:
		return &unixConn{UnixConn: conn, leave: leave}, nil
	default:
		return &otherConn{Conn: c, leave: leave}, nil
	}
}

type tcpConn struct {
	*net.TCPConn
	leave func()
}

// Close gives the place back.
func (c *tcpConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

type unixConn struct {
	*net.UnixConn
	leave func()
}

// Close gives the place back.
func (c *unixConn) Close() error {
	defer c.leave()
	return c.UnixConn.Close()
}

type otherConn struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *otherConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// linePerThread is how many requests may wait for each one that is worked; at that
// length a wait is longer than any client's patience.
const linePerThread = 64

// threads bounds how many requests are worked at once, in a line of bounded length.
type threads struct {
	slots chan struct{} // nil: no limit
	line  chan struct{}
}

func newThreads(limit int) *threads {
	if limit <= 0 {
		return &threads{}
	}
	return &threads{slots: make(chan struct{}, limit), line: make(chan struct{}, limit*linePerThread)}
}

// enter waits for a thread; false means that the line is full or the client gone.
func (t *threads) enter(ctx context.Context) bool {
	if t.slots == nil {
		return true
	}
	select {
	case t.slots <- struct{}{}:
		return true
	default:
	}
	select {
	case t.line <- struct{}{}:
	default:
		return false
	}
	defer func() { <-t.line }()
	select {
	case t.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (t *threads) leave() {
	if t.slots != nil {
		<-t.slots
	}
}

func (t *threads) waiting() int { return len(t.line) }
