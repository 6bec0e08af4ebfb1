package socketio

import (
	"fmt"
	"net/http"
	"time"

	"github.com/gobwas/ws"
)

// serveUpgrade lets a WebSocket take over a polling session. The peer sends a probe, which is answered on the
// WebSocket, ends its last poll, and sends an upgrade packet; from then on the session lives on the WebSocket alone.
// Until then polling goes on, so a WebSocket that fails on the way costs nothing.
func (c *conn) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	l, err := c.srv.acceptLink(w, r, nil)
	if err != nil {
		c.srv.opts.Logger.DebugContext(r.Context(), "socketio: upgrade refused", "sid", c.id, "error", err)
		return
	}
	if !c.beginUpgrade(l) {
		_ = l.write([]frame{closeFrame(ws.StatusPolicyViolation, "not open for an upgrade")}, closeWait)
		_ = l.conn.Close()
		c.srv.stats.upgradeFailures.Add(1)
	}
}

// beginUpgrade accepts l as the candidate, unless the session has one or is on a WebSocket already.
func (c *conn) beginUpgrade(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen || c.link != nil || c.probe != nil {
		return false
	}
	c.probe = l
	c.srv.group.Go(func() { c.runUpgrade(l) })
	return true
}

func (c *conn) runUpgrade(l *link) {
	if err := c.handshakeUpgrade(l); err != nil {
		c.srv.opts.Logger.DebugContext(c.ctx, "socketio: upgrade failed", "sid", c.id, "error", err)
		c.srv.stats.upgradeFailures.Add(1)
		c.endUpgrade()
		_ = l.conn.Close()
		return
	}
	if !c.completeUpgrade(l) {
		_ = l.conn.Close()
		return
	}
	c.srv.stats.upgrades.Add(1)
	c.read(l)
}

func (c *conn) handshakeUpgrade(l *link) error {
	if err := l.conn.SetReadDeadline(time.Now().Add(c.srv.opts.UpgradeTimeout)); err != nil {
		return err
	}
	if err := expect(l, string(enginePing)+"probe"); err != nil {
		return err
	}
	if err := l.write([]frame{textFrame(string(enginePong) + "probe")}, c.srv.opts.WriteTimeout); err != nil {
		return err
	}
	c.noteProbe()
	if err := expect(l, string(engineUpgrade)); err != nil {
		return err
	}
	return l.conn.SetReadDeadline(time.Time{})
}

// expect reads one text packet, which must be this one. Control frames are of no use so early and are refused.
func expect(l *link, want string) error {
	op, data, err := l.next()
	if err != nil {
		return err
	}
	if op != ws.OpText || string(data) != want {
		return fmt.Errorf("want packet %q: %w", want, errMalformed)
	}
	return nil
}

// noteProbe ends the waiting poll, which is what the peer waits for now.
func (c *conn) noteProbe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probed = true
	if p := c.poll; p != nil && len(c.queue) == 0 {
		c.poll = nil
		p.finish(pollAnswer{body: []byte{engineNoop}})
	}
}

func (c *conn) endUpgrade() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probe, c.probed = nil, false
}

// completeUpgrade switches over. What is queued leaves on the WebSocket, in order.
func (c *conn) completeUpgrade(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probe, c.probed = nil, false
	if c.phase != phaseOpen {
		return false
	}
	c.link = l
	if p := c.poll; p != nil {
		c.poll = nil
		p.finish(pollAnswer{status: http.StatusBadRequest})
	}
	c.kickLocked()
	return true
}
