package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Middleware writes a line for each request of next. It belongs inside what corrects
// the remote address from a proxy's headers, and outside of everything else.
func (l *Log) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w, log: l, request: r, began: l.o.Now()}
		complete := false
		defer func() {
			if !rec.taken { // else its connection writes the line
				l.add(rec.entry(complete))
			}
		}()
		next.ServeHTTP(rec, r)
		complete = true
	})
}

// extra is what the format takes from headers.
func (l *Log) extra() []extractor {
	if l.o.Format == nil {
		return nil
	}
	return l.o.Format.extra
}

// recorder remembers what was answered. It is used by the goroutine of its request.
type recorder struct {
	http.ResponseWriter
	log     *Log
	request *http.Request
	began   time.Time
	status  int
	bytes   int64
	taken   bool // by a handler that speaks another protocol
}

// WriteHeader notes the status that is final.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write counts what is sent.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// entry is complete when the handler returned rather than gave up.
func (r *recorder) entry(complete bool) *entry {
	e := describe(r.request, r.Header(), r.log.extra())
	e.status, e.bytes = r.status, r.bytes
	if e.status == 0 && complete {
		e.status = http.StatusOK
	}
	e.at = r.log.o.Now()
	e.took = e.at.Sub(r.began)
	return &e
}

// Hijack implements http.Hijacker: the line is written when the connection closes.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take the connection over: %w", err)
	}
	r.taken = true
	c := &connection{Conn: conn, log: r.log, began: r.began, entry: describe(r.request, r.Header(), r.log.extra())}
	c.entry.detach()
	c.entry.status = http.StatusSwitchingProtocols
	// The answer to the handshake goes through the connection too, since it may be a
	// refusal.
	return c, bufio.NewReadWriter(buffered.Reader, bufio.NewWriter(c)), nil
}

// connection is one that was taken over.
type connection struct {
	net.Conn
	log     *Log
	began   time.Time
	entry   entry
	answer  sync.Once // the first write
	over    sync.Once
	written atomic.Int64
}

// Write counts what is sent, and takes the status from the first line.
func (c *connection) Write(p []byte) (int, error) {
	c.answer.Do(func() {
		if head := string(p[:min(len(p), len("HTTP/1.1 101"))]); strings.HasPrefix(head, "HTTP/1.") && len(head) == len("HTTP/1.1 101") {
			if status, err := strconv.Atoi(head[len("HTTP/1.1 "):]); err == nil {
				c.entry.status = status
			}
		}
	})
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// Close closes the connection and writes its line.
func (c *connection) Close() error {
	err := c.Conn.Close()
	c.over.Do(func() {
		c.answer.Do(func() {}) // whoever writes still is too late, and the status is settled
		c.entry.bytes = c.written.Load()
		c.entry.at = c.log.o.Now()
		c.entry.took = c.entry.at.Sub(c.began)
		c.log.add(&c.entry)
	})
	return err
}

// CloseWrite ends the sending side, where there are sides.
func (c *connection) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// Wrote counts what was written to the connection beneath by somebody who goes there
// directly, to write several buffers at once.
func (c *connection) Wrote(n int) { c.written.Add(int64(n)) }

// NetConn gives the connection beneath.
func (c *connection) NetConn() net.Conn { return c.Conn }
