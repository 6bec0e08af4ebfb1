package socketio

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

type phase int

const (
	phaseOpen    phase = iota
	phaseClosing       // no socket is left; what is queued may still go out
	phaseClosed        // nothing is left
)

// conn is one Engine.IO session.
type conn struct {
	srv    *Server
	id     string
	req    *http.Request   // the one that opened the session, without body
	ctx    context.Context //nolint:containedctx // its end is the session's end; handlers get it from Socket.Context
	cancel context.CancelCauseFunc

	// inbound makes packets be taken one after another, whatever transport they came on. It guards partial.
	inbound sync.Mutex
	partial *partialPacket

	mu     sync.Mutex
	phase  phase
	queue  []frame
	frames int // queued and being written
	bytes  int // the same, in bytes

	link    *link // set once a WebSocket carries the session
	writing bool  // a goroutine is draining the queue into link
	probe   *link // a WebSocket that is about to take over
	probed  bool  // the peer was told that probe works
	poll    *poll // the GET that waits for something to send
	posting bool  // a POST is being read

	heartbeat *time.Timer
	awaiting  bool        // a heartbeat is unanswered
	lonely    *time.Timer // runs while no namespace is connected
	linger    *time.Timer // runs while a closing polling session waits for its last GETs
	farewell  frame       // what the very last of them is answered with

	sockets map[string]*Socket            // by namespace
	pending map[string]context.CancelFunc // being authorised
	left    map[string]struct{}           // connected once; late packets for them are no fault
	busy    int                           // sockets and authorisations that handlers are not done with
}

func newConn(s *Server, id string, r *http.Request) *conn {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	req := r.Clone(ctx)
	req.Body = http.NoBody
	return &conn{
		srv: s, id: id, req: req, ctx: ctx, cancel: cancel,
		sockets: map[string]*Socket{},
		pending: map[string]context.CancelFunc{},
		left:    map[string]struct{}{},
	}
}

// start arms the timers. The session must be able to take packets by then: the peer may answer the open packet at
// once.
func (c *conn) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	c.heartbeat = time.AfterFunc(c.srv.opts.PingInterval, c.beat)
	if c.srv.onMessage == nil {
		c.lonely = time.AfterFunc(c.srv.opts.ConnectTimeout, c.expireLonely)
	}
}

func (c *conn) transport() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link != nil {
		return TransportWebSocket
	}
	return TransportPolling
}

func (c *conn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase == phaseOpen
}

// send queues frames, together and in order, or refuses all of them. It never waits.
func (c *conn) send(frames ...frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sendLocked(frames...)
}

func (c *conn) sendLocked(frames ...frame) error {
	if c.phase != phaseOpen {
		return ErrClosed
	}
	size := frameBytes(frames)
	if size > c.srv.opts.QueueBytes || len(frames) > c.srv.opts.QueueFrames {
		return ErrTooLarge
	}
	if c.bytes+size > c.srv.opts.QueueBytes || c.frames+len(frames) > c.srv.opts.QueueFrames {
		c.shutLocked(ReasonSlowConsumer, endAbort)
		return ErrSlow
	}
	c.pushLocked(frames...)
	return nil
}

// pushLocked queues without regard to limits, for the few packets that the session itself makes.
func (c *conn) pushLocked(frames ...frame) {
	c.queue = append(c.queue, frames...)
	c.frames += len(frames)
	c.bytes += frameBytes(frames)
	count(&c.srv.stats.packetsOut, len(frames))
	c.logOut(frames)
	c.kickLocked()
}

// kickLocked sees to it that somebody takes what is queued.
func (c *conn) kickLocked() {
	switch {
	case len(c.queue) == 0:
	case c.link != nil:
		if c.writing {
			return
		}
		c.writing = true
		if c.link.raw != nil {
			c.srv.flushers.add(c)
			return
		}
		c.srv.group.Go(c.writeLoop)
	case c.poll != nil:
		c.poll.signal()
	}
}

// takeLocked removes frames from the queue until they make up limit bytes, but at least one.
func (c *conn) takeLocked(limit int, size func(frame) int) []frame {
	n, total := 0, 0
	for n < len(c.queue) {
		total += size(c.queue[n])
		if n > 0 && total > limit {
			break
		}
		n++
	}
	batch := slices.Clone(c.queue[:n])
	clear(c.queue[:n]) // the array must not keep messages alive
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return batch
}

func (c *conn) releaseLocked(frames []frame) {
	c.frames -= len(frames)
	c.bytes -= frameBytes(frames)
}

func (c *conn) dropQueueLocked() {
	c.releaseLocked(c.queue)
	c.queue = nil
}

// beat sends the next heartbeat, or ends the session when the last one was not answered.
func (c *conn) beat() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	if c.awaiting {
		if !c.srv.opts.KeepSilent || c.link == nil {
			c.shutLocked(ReasonPingTimeout, endAbort)
			return
		}
		if c.sendLocked(textFrame(string(enginePing))) == nil {
			c.heartbeat.Reset(c.srv.opts.PingInterval)
		}
		return
	}
	c.awaiting = true
	c.heartbeat.Reset(c.srv.opts.PingTimeout)
	c.pushLocked(textFrame(string(enginePing)))
}

func (c *conn) pong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseOpen && c.awaiting {
		c.awaiting = false
		c.heartbeat.Reset(c.srv.opts.PingInterval)
	}
}

func (c *conn) expireLonely() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseOpen && len(c.sockets) == 0 {
		c.shutLocked(ReasonConnectTimeout, endNotify)
	}
}
