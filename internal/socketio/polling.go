package socketio

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// upgradeHold is how long a GET is held while a WebSocket is about to take over. The peer waits for its last poll to
// end before it completes the change, so the hold is short.
const upgradeHold = 50 * time.Millisecond

// poll is a waiting GET.
type poll struct {
	wake   chan struct{}
	answer pollAnswer // set before wake is signalled, once the poll is no longer the session's
	done   bool
}

// pollAnswer ends a poll; a zero status is 200.
type pollAnswer struct {
	status int
	body   []byte
}

func newPoll() *poll { return &poll{wake: make(chan struct{}, 1)} }

func (p *poll) signal() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *poll) finish(a pollAnswer) {
	p.answer, p.done = a, true
	p.signal()
}

func (c *conn) servePolling(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		c.servePoll(w, r)
	case http.MethodPost:
		c.servePost(w, r)
	default:
		c.srv.reject(w, rejectBadRequest)
	}
}

// servePoll answers a GET as soon as there is something to send.
func (c *conn) servePoll(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})  // a poll outlives the read timeout of the HTTP server,
	_ = control.SetWriteDeadline(time.Time{}) // and its write timeout, where it can be set at all
	p := newPoll()
	answer, ok := c.beginPoll(p)
	for !ok {
		var hold <-chan time.Time
		if c.upgrading() {
			hold = time.After(upgradeHold)
		}
		select {
		case <-p.wake:
			answer, ok = c.endPoll(p, false)
		case <-hold:
			answer, ok = c.endPoll(p, true)
		case <-r.Context().Done():
			c.abandonPoll(p)
			return
		}
	}
	if answer.status != 0 {
		c.srv.reject(w, rejectBadRequest)
		return
	}
	if err := c.srv.respond(w, answer.body); err != nil {
		c.shut(ReasonTransportError, endAbort) // what was in the answer is lost, so the session is
	}
}

// beginPoll answers at once if something is queued or the poll is not in order; else p waits.
func (c *conn) beginPoll(p *poll) (pollAnswer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := pollAnswer{status: http.StatusBadRequest}
	if c.link != nil || c.phase == phaseClosed {
		return refused, true
	}
	if c.poll == nil && c.overdueLocked() {
		c.shutLocked(ReasonPingTimeout, endAbort)
		return refused, true
	}
	if first := c.poll; first != nil {
		c.srv.stats.pollOverlaps.Add(1)
		c.shutLocked(ReasonTransportError, endAbort) // ends the first poll with a close packet
		return refused, true
	}
	if len(c.queue) > 0 {
		return c.takePollLocked(), true
	}
	if c.phase == phaseClosing {
		answer := pollAnswer{body: joinPolling([]frame{c.farewell})}
		c.finishLocked()
		return answer, true
	}
	c.poll = p
	return pollAnswer{}, false
}

// endPoll returns the answer for p, if there is one by now; with force, an empty one.
func (c *conn) endPoll(p *poll, force bool) (pollAnswer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.done {
		return p.answer, true
	}
	if len(c.queue) > 0 {
		c.poll = nil
		return c.takePollLocked(), true
	}
	if force {
		c.poll = nil
		return pollAnswer{body: []byte{engineNoop}}, true
	}
	return pollAnswer{}, false
}

func (c *conn) takePollLocked() pollAnswer {
	batch := c.takeLocked(c.srv.opts.MaxPayload, func(f frame) int { return f.pollingSize() + 1 })
	c.releaseLocked(batch)
	return pollAnswer{body: joinPolling(batch)}
}

func (c *conn) abandonPoll(p *poll) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poll == p {
		c.poll = nil
		c.shutLocked(ReasonTransportClose, endAbort)
	}
}

func (c *conn) upgrading() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.probed
}

// servePost takes a payload from the peer.
func (c *conn) servePost(w http.ResponseWriter, r *http.Request) {
	if !c.beginPost() {
		c.srv.reject(w, rejectBadRequest)
		return
	}
	closing := !c.isOpen()
	body, err := c.readBody(w, r)
	if err == nil {
		err = c.receivePayload(body)
	}
	c.endPost()
	switch bye := string(body) == string(engineClose); {
	case closing && bye: // both sides have ended the session
		c.shut(ReasonTransportClose, endAbort)
		_ = c.srv.respond(w, []byte("ok"))
	case closing: // nothing of it was taken
		c.srv.reject(w, rejectBadRequest)
	case errors.Is(err, errPayloadLimit):
		c.shut(ReasonTooLarge, endNotify)
		c.srv.reject(w, rejectTooLarge)
	case err != nil:
		c.srv.opts.Logger.DebugContext(r.Context(), "socketio: bad payload", "sid", c.id, "error", err)
		c.shut(ReasonParseError, endNotify)
		c.srv.reject(w, rejectBadRequest)
	default:
		_ = c.srv.respond(w, []byte("ok")) // a peer that misses it notices by itself
	}
}

func (c *conn) beginPost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseClosed || c.link != nil {
		return false
	}
	if c.posting {
		c.shutLocked(ReasonTransportError, endAbort)
		return false
	}
	c.posting = true
	return true
}

func (c *conn) endPost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posting = false
}

func (c *conn) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := c.srv.opts.MaxPayload
	if r.ContentLength > int64(limit) {
		return nil, errPayloadLimit
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(c.srv.opts.PingTimeout)) // not every writer has deadlines
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	_ = control.SetReadDeadline(time.Time{})
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errPayloadLimit
	}
	count(&c.srv.stats.bytesIn, len(body))
	return body, err
}

func (c *conn) receivePayload(body []byte) error {
	c.inbound.Lock()
	defer c.inbound.Unlock()
	for p, err := range decodePayload(body) {
		if err != nil {
			return err
		}
		if err := c.receive(p); err != nil {
			return err
		}
	}
	return nil
}

// respond writes a polling answer and waits until it has left, within the write timeout.
func (s *Server) respond(w http.ResponseWriter, body []byte) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(s.opts.WriteTimeout))
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	count(&s.stats.bytesOut, len(body))
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	// The connection may serve other requests, to which this deadline does not apply.
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}
