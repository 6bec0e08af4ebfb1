package serving

import (
	"context"
	"net"
	"sync"
)

// gate bounds how many connections are open at once. While it is full nobody
// accepts, so further connections wait in the kernel's backlog, where another worker
// may take them. A listener takes no place while it waits for a connection, or one
// without clients would keep the last place from the others; so with several of them
// the limit may be exceeded by one for each further listener.
type gate struct {
	limit  int
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	count int
	freed chan struct{} // closed when a full gate has a place again
}

func newGate(limit int) *gate {
	return &gate{limit: max(limit, 1), closed: make(chan struct{}), freed: make(chan struct{})}
}

func (g *gate) open() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.count
}

func (g *gate) close() { g.once.Do(func() { close(g.closed) }) }

// wait returns when there is a place; false: the gate is closed.
func (g *gate) wait() bool {
	for {
		g.mu.Lock()
		full, freed := g.count >= g.limit, g.freed
		g.mu.Unlock()
		if !full {
			return true
		}
		select {
		case <-freed:
		case <-g.closed:
			return false
		}
	}
}

func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count--
	if g.count == g.limit-1 {
		close(g.freed)
		g.freed = make(chan struct{})
	}
}

func (g *gate) listen(ln net.Listener) net.Listener { return &gatedListener{Listener: ln, gate: g} }

type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept waits for a place before it takes a connection out of the backlog.
func (l *gatedListener) Accept() (net.Conn, error) {
	if !l.gate.wait() {
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.gate.enter()
	leave := sync.OnceFunc(l.gate.leave)
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
