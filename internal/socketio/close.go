package socketio

import (
	"errors"
	"time"

	"github.com/gobwas/ws"
)

// ending is how a session is ended.
type ending int

const (
	// endDrain sends what is queued, then tells the peer.
	endDrain ending = iota
	// endNotify drops what is queued and tells the peer if it can be told at once.
	endNotify
	// endPeer is endNotify for a peer that asked for the end: a poll of its that crossed the request is let go.
	endPeer
	// endAbort cuts the transport.
	endAbort
)

const (
	// closeWait is how long a peer may take to answer a WebSocket close frame.
	closeWait = 2 * time.Second
	// lingerDrain is how long a closed polling session keeps its last packets for the next GET.
	lingerDrain = 10 * time.Second
	// lingerPeer is how long a poll may be under way that the peer sent before it closed the session.
	lingerPeer = time.Second
)

func (c *conn) shut(reason string, how ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shutLocked(reason, how)
}

// shutLocked ends the session. Only the first call has a reason; a later one may still cut short an orderly end.
func (c *conn) shutLocked(reason string, how ending) {
	if c.phase == phaseClosing && how == endAbort {
		c.cutLocked()
	}
	if c.phase != phaseOpen {
		return
	}
	c.phase = phaseClosing
	c.srv.stats.closed(reason)
	c.stopLocked(reason)
	if how != endDrain {
		c.dropQueueLocked()
	}
	if c.link != nil {
		c.endLinkLocked(reason, how)
		return
	}
	c.endPollingLocked(how)
}

// stopLocked releases all that belongs to the session apart from its transport.
func (c *conn) stopLocked(reason string) {
	if c.clock != nil {
		c.clock.Stop()
	}
	for i := range c.spaces {
		sp := &c.spaces[i]
		if sp.cancel != nil {
			sp.cancel()
			sp.cancel = nil
		}
		if sp.socket != nil {
			sp.socket.end(reason)
			sp.socket = nil
		}
	}
	c.cancel(errors.New("socketio: " + reason))
	if c.probe != nil {
		_ = c.probe.conn.Close()
	}
}

func (c *conn) endLinkLocked(reason string, how ending) {
	if how == endAbort {
		c.cutLocked()
		return
	}
	c.pushLocked(closeFrame(closeCode(reason), reason))
}

// endPollingLocked lets the peer know by a last packet, in an answer of its own: the official client takes a close
// packet before it has looked at the packets that came along with it, and would miss a DISCONNECT.
func (c *conn) endPollingLocked(how ending) {
	wait := lingerDrain
	c.farewell = textFrame(string(engineClose))
	if how == endPeer {
		c.farewell, wait = textFrame(string(engineNoop)), lingerPeer
	}
	orderly := how == endDrain || how == endPeer
	if !orderly || (c.poll != nil && len(c.queue) == 0) {
		c.cutLocked()
		return
	}
	c.linger = time.AfterFunc(wait, func() { c.shut(ReasonTransportClose, endAbort) })
	c.kickLocked()
}

func (c *conn) takeAllLocked() []frame {
	batch := c.queue
	c.releaseLocked(batch)
	c.queue = nil
	return batch
}

// cutLocked gives up an orderly end.
func (c *conn) cutLocked() {
	if c.link == nil {
		if p := c.poll; p != nil {
			c.poll = nil
			p.finish(pollAnswer{body: joinPolling(append(c.takeAllLocked(), c.farewell))})
		}
		c.finishLocked()
		return
	}
	c.dropQueueLocked()
	_ = c.link.conn.Close()
	c.settleLocked()
}

// settleLocked closes the WebSocket after its reader and its writer have ended.
func (c *conn) settleLocked() {
	if c.phase == phaseClosing && c.link != nil && !c.writing && c.link.readDone {
		_ = c.link.conn.Close()
		c.finishLocked()
	}
}

func (c *conn) finishLocked() {
	if c.phase == phaseClosed {
		return
	}
	c.phase = phaseClosed
	c.dropQueueLocked()
	if c.linger != nil {
		c.linger.Stop()
	}
	c.srv.forget(c)
}

func closeCode(reason string) ws.StatusCode {
	switch reason {
	case ReasonParseError:
		return ws.StatusProtocolError
	case ReasonTooLarge:
		return ws.StatusMessageTooBig
	case ReasonFlood, ReasonConnectTimeout:
		return ws.StatusPolicyViolation
	case ReasonHandlerPanic:
		return ws.StatusInternalServerError
	case ReasonShutdown:
		return ws.StatusGoingAway
	default:
		return ws.StatusNormalClosure
	}
}
