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

	// inbound makes packets be taken one after another, whatever transport they came on. It guards partial and rate.
	inbound sync.Mutex
	partial *partialPacket
	rate    rate

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

	clock    *time.Timer // runs until beatAt or lonelyAt, or a little less
	beatAt   time.Time   // the next heartbeat is due, or with awaiting the answer to the last one
	lonelyAt time.Time   // there must be a namespace; zero: there is one
	awaiting bool        // a heartbeat is unanswered
	linger   *time.Timer // runs while a closing polling session waits for its last GETs
	farewell frame       // what the very last of them is answered with

	spaces []space
	busy   int // sockets and authorisations that handlers are not done with
}

// space is a namespace that the session has asked for. It stays when it is left, for late packets for it are no fault;
// there are no more of them than namespaces of the server.
type space struct {
	name    string
	socket  *Socket            // nil: not connected
	cancel  context.CancelFunc // of the authorisation, while there is one
	visited bool               // was connected once
}

func newConn(s *Server, id string, r *http.Request) *conn {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
	req := r.WithContext(ctx) // the handler that it came to ends, so nobody else changes it
	req.Body = http.NoBody
	return &conn{
		srv: s, id: id, req: req, ctx: ctx, cancel: cancel,
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
	now := time.Now()
	c.beatAt = now.Add(c.srv.opts.PingInterval)
	if c.srv.onMessage == nil {
		c.lonelyAt = now.Add(c.srv.opts.ConnectTimeout)
	}
	c.clock = time.AfterFunc(c.restLocked(now), c.tick)
}

// restLocked is how long the clock may sleep.
func (c *conn) restLocked(now time.Time) time.Duration {
	next := c.beatAt
	if !c.lonelyAt.IsZero() && c.lonelyAt.Before(next) {
		next = c.lonelyAt
	}
	return next.Sub(now)
}

// tick does what is due. The clock is not set back when a heartbeat is answered, nor when a namespace comes or goes, so
// it may have nothing to do.
func (c *conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.phase == phaseOpen && !c.lonelyAt.IsZero() && !now.Before(c.lonelyAt) {
		c.shutLocked(ReasonConnectTimeout, endNotify)
	}
	if c.phase == phaseOpen && !now.Before(c.beatAt) {
		c.beatLocked(now)
	}
	if c.phase == phaseOpen {
		c.clock.Reset(c.restLocked(now))
	}
}

// lonelyLocked notes that the session has no namespace from now on.
func (c *conn) lonelyLocked() {
	now := time.Now()
	c.lonelyAt = now.Add(c.srv.opts.ConnectTimeout)
	c.clock.Reset(c.restLocked(now))
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

// beatLocked sends the next heartbeat, or ends the session when the last one was not answered.
func (c *conn) beatLocked(now time.Time) {
	interval, timeout := c.srv.opts.PingInterval, c.srv.opts.PingTimeout
	if c.awaiting && (!c.srv.opts.KeepSilent || c.link == nil) {
		c.shutLocked(ReasonPingTimeout, endAbort)
		return
	}
	if c.awaiting {
		if c.sendLocked(textFrame(string(enginePing))) == nil {
			c.beatAt = now.Add(interval)
		}
		return
	}
	// A clock that was late by a little takes nothing off the time that the peer was told; one that was very late does
	// not take it all from the peer.
	c.awaiting = true
	c.beatAt = maxTime(c.beatAt.Add(timeout), now.Add(timeout/2))
	c.pushLocked(textFrame(string(enginePing)))
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// overdueLocked reports that the peer has let the time for an answer pass, although the clock has not noticed yet.
func (c *conn) overdueLocked() bool {
	return c.awaiting && !time.Now().Before(c.beatAt)
}

func (c *conn) pong() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseOpen && c.awaiting {
		c.awaiting = false
		c.beatAt = time.Now().Add(c.srv.opts.PingInterval)
		if c.srv.opts.PingInterval < c.srv.opts.PingTimeout { // else the clock wakes in time
			c.clock.Reset(c.restLocked(time.Now()))
		}
	}
}

// spaceLocked finds a namespace that the session has asked for.
func (c *conn) spaceLocked(name string) *space {
	for i := range c.spaces {
		if c.spaces[i].name == name {
			return &c.spaces[i]
		}
	}
	return nil
}

// inUseLocked counts namespaces that are connected, and those that are so or are being authorised.
func (c *conn) inUseLocked() (connected, all int) {
	for i := range c.spaces {
		switch {
		case c.spaces[i].socket != nil:
			connected++
			all++
		case c.spaces[i].cancel != nil:
			all++
		}
	}
	return connected, all
}
