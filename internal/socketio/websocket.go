package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// writeBatch bounds what one write deadline covers, so that a slow but moving peer is not taken for a dead one.
const writeBatch = 64 << 10

// link is a WebSocket after its handshake. One goroutine at a time reads it.
type link struct {
	conn      net.Conn
	raw       syscall.RawConn // the socket beneath, if it can be had
	observers []wrapper
	source    source
	limit     int
	received  *atomic.Uint64
	readDone  bool // guarded by conn.mu of the session

	message []byte // of a fragmented message, so far
	opcode  ws.OpCode
	partial bool
	scratch [ws.MaxHeaderSize]byte
}

// acceptLink completes the WebSocket handshake, and sends the greeting with it. On error the peer has been answered.
func (s *Server) acceptLink(w http.ResponseWriter, r *http.Request, greeting []frame) (*link, error) {
	g := &greeter{ResponseWriter: w, greeting: greeting}
	conn, rw, _, err := ws.HTTPUpgrader{Timeout: s.opts.WriteTimeout}.Upgrade(r, g)
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		return nil, fmt.Errorf("websocket handshake: %w", err)
	}
	l := &link{conn: conn, limit: s.opts.MaxPayload, received: &s.stats.bytesIn}
	l.raw, l.observers = direct(conn)
	l.source = source{conn: conn, raw: l.raw, pool: s.buffers}
	if n := rw.Reader.Buffered(); n > 0 { // sent before the handshake was answered
		early, _ := rw.Peek(n)
		l.source.ready = bytes.Clone(early)
	}
	return l, nil
}

// wrote tells those that count.
func (l *link) wrote(n int) {
	for _, o := range l.observers {
		o.Wrote(n)
	}
}

// next returns the next whole data message or control frame; the payload belongs to the caller.
func (l *link) next() (ws.OpCode, []byte, error) {
	for {
		header, err := ws.ReadHeaderBuffer(&l.source, l.scratch[:])
		if err != nil {
			return 0, nil, err
		}
		state := ws.StateServerSide
		if l.partial {
			state = state.Set(ws.StateFragmented)
		}
		if err := ws.CheckHeader(header, state); err != nil {
			return 0, nil, err
		}
		if header.OpCode.IsControl() {
			body, err := l.read(nil, header)
			return header.OpCode, body, err
		}
		if header.Length > int64(l.limit-len(l.message)) {
			return 0, nil, errPayloadLimit
		}
		if !l.partial {
			l.opcode = header.OpCode
		}
		if l.message, err = l.read(l.message, header); err != nil {
			return 0, nil, err
		}
		if l.partial = !header.Fin; l.partial {
			continue
		}
		message := l.message
		l.message = nil
		if l.opcode == ws.OpText && !utf8.Valid(message) {
			return 0, nil, errNotUTF8
		}
		return l.opcode, message, nil
	}
}

// read appends the payload of a frame to dst. Memory grows with what arrives, not with what the peer announces.
func (l *link) read(dst []byte, header ws.Header) ([]byte, error) {
	offset := 0
	for left := int(header.Length); left > 0; {
		n := min(left, max(len(dst), 4096))
		dst = slices.Grow(dst, n)
		part := dst[len(dst) : len(dst)+n]
		if _, err := io.ReadFull(&l.source, part); err != nil {
			return nil, err
		}
		ws.Cipher(part, header.Mask, offset)
		dst = dst[:len(dst)+n]
		offset += n
		left -= n
	}
	count(l.received, offset)
	return dst, nil
}

// write sends frames within the timeout. The socket must not keep the deadline: a flusher writes to it without one, and
// would find it passed.
func (l *link) write(frames []frame, timeout time.Duration) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	defer func() { _ = l.conn.SetWriteDeadline(time.Time{}) }()
	if len(frames) == 1 {
		_, err := l.conn.Write(frames[0].data)
		return err
	}
	joined := make([]byte, 0, frameBytes(frames)) // one record of TLS instead of many
	for _, f := range frames {
		joined = append(joined, f.data...)
	}
	_, err := l.conn.Write(joined)
	return err
}

// writeLoop drains the queue and ends; it is started anew for the next frame. It is for connections that cannot be
// written to directly, and for peers that do not take at once what they are sent.
func (c *conn) writeLoop() {
	for batch := c.nextBatch(); batch != nil; batch = c.nextBatch() {
		err := c.link.write(batch, c.srv.opts.WriteTimeout)
		c.srv.stats.wrote(len(batch))
		count(&c.srv.stats.bytesOut, frameBytes(batch))
		c.wrote(batch, err)
	}
}

func (c *conn) nextBatch() []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) > 0 {
		return c.takeLocked(writeBatch, func(f frame) int { return len(f.data) })
	}
	c.idleLocked()
	return nil
}

func (c *conn) wrote(batch []frame, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.releaseLocked(batch)
	if err != nil {
		c.brokenLocked()
	}
}

// read takes what the peer sends until the WebSocket ends. It returns at once.
func (c *conn) read(l *link) {
	if len(l.source.ready) > 0 {
		c.srv.workers.run(func() { c.take(l, nil) })
		return
	}
	c.srv.group.Go(func() { c.listen(l) })
}

// listen waits for the peer to say something. It leaves the rest to another goroutine, so that its own stack stays as
// small as one can be: it is what an idle session has.
func (c *conn) listen(l *link) {
	err := l.source.fill()
	c.srv.workers.run(func() { c.take(l, err) })
}

// take handles what has arrived and listens again, unless err or something new ended the WebSocket.
func (c *conn) take(l *link, err error) {
	for err == nil {
		var op ws.OpCode
		var data []byte
		if op, data, err = l.next(); err == nil {
			err = c.receiveFrame(op, data)
		}
		if err == nil && len(l.source.ready) == 0 {
			l.source.release()
			c.srv.group.Go(func() { c.listen(l) })
			return
		}
	}
	c.srv.opts.Logger.DebugContext(c.ctx, "socketio: websocket ended", "sid", c.id, "error", err)
	c.endReading(l, err)
}

func (c *conn) endReading(l *link, err error) {
	reason, how := classify(err)
	c.shut(reason, how)
	if how == endNotify {
		// What the peer is still sending must be read, or its system throws away the close frame. The deadline comes
		// with the close frame.
		_, _ = io.Copy(io.Discard, &l.source)
	}
	l.source.ready = nil
	l.source.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	l.readDone = true
	c.settleLocked()
}

func (c *conn) receiveFrame(op ws.OpCode, data []byte) error {
	switch op {
	case ws.OpClose:
		return errPeerClosed
	case ws.OpPing:
		c.inbound.Lock()
		within := c.rate.take(c.srv.opts.PacketRate)
		c.inbound.Unlock()
		if !within {
			c.shut(ReasonFlood, endNotify)
			return nil
		}
		if err := c.send(newFrame(ws.OpPong, data)); errors.Is(err, ErrSlow) {
			return err
		}
		return nil
	case ws.OpPong:
		return nil
	default: // data
	}
	p := enginePacket{kind: engineMessage, data: data, binary: true}
	if op == ws.OpText {
		var err error
		if p, err = decodeText(data); err != nil {
			return err
		}
	}
	c.inbound.Lock()
	defer c.inbound.Unlock()
	return c.receive(p)
}

// classify says why a WebSocket whose reading ended with err is closed, and how.
func classify(err error) (string, ending) {
	_, violation := errors.AsType[ws.ProtocolError](err)
	_, network := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, errPeerClosed):
		return ReasonTransportClose, endPeer
	case errors.Is(err, errPayloadLimit):
		return ReasonTooLarge, endNotify
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return ReasonTransportClose, endAbort
	case violation:
		return ReasonParseError, endNotify
	case network, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, ErrSlow):
		return ReasonTransportError, endAbort
	default:
		return ReasonParseError, endNotify
	}
}
