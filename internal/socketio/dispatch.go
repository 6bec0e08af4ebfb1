package socketio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// partialPacket is a packet whose attachments have not all arrived.
type partialPacket struct {
	packet      packet
	attachments [][]byte
	size        int
}

// receive takes one Engine.IO packet. An error ends the session. The caller holds inbound.
func (c *conn) receive(p enginePacket) error {
	if !c.isOpen() {
		return nil // what crosses the end of a session is of no interest
	}
	c.srv.stats.packetsIn.Add(1)
	if !c.rate.take(c.srv.opts.PacketRate) {
		c.shut(ReasonFlood, endNotify)
		return nil
	}
	c.logIn(p)
	switch p.kind {
	case engineMessage:
		if c.srv.onMessage != nil {
			return c.srv.onMessage(c, p)
		}
		if p.binary {
			return c.receiveAttachment(p.data)
		}
		return c.receiveText(p.data)
	case enginePong:
		c.pong()
		return nil
	case engineClose:
		c.shut(ReasonTransportClose, endPeer)
		return nil
	case engineNoop:
		return nil
	default:
		return fmt.Errorf("engine packet of type %q from a client: %w", p.kind, errMalformed)
	}
}

func (c *conn) receiveText(text []byte) error {
	if c.partial != nil {
		return fmt.Errorf("text instead of an attachment: %w", errMalformed)
	}
	p, err := decodePacket(text, c.srv.opts.MaxAttachments)
	if err != nil {
		return err
	}
	if p.attachments > 0 {
		c.partial = &partialPacket{packet: p, size: len(text)}
		return nil
	}
	return c.dispatch(p, nil, len(text))
}

func (c *conn) receiveAttachment(data []byte) error {
	part := c.partial
	if part == nil {
		return fmt.Errorf("attachment without a packet: %w", errMalformed)
	}
	part.size += len(data)
	if part.size > c.srv.opts.InboxBytes {
		return errPayloadLimit
	}
	part.attachments = append(part.attachments, data)
	if len(part.attachments) < part.packet.attachments {
		return nil
	}
	c.partial = nil
	return c.dispatch(part.packet, part.attachments, part.size)
}

func (c *conn) dispatch(p packet, attachments [][]byte, size int) error {
	c.logPacket(p)
	switch p.kind {
	case packetConnect:
		return c.connect(p)
	case packetDisconnect:
		c.leave(p.namespace, ReasonClientDisconnect)
		return nil
	default: // events and acknowledgements, which are for a socket
	}
	s, err := c.socket(p.namespace)
	if s == nil {
		return err
	}
	if p.kind == packetAck || p.kind == packetBinaryAck {
		return s.resolve(p, attachments)
	}
	if !s.deliver(p, attachments, size) {
		c.shut(ReasonFlood, endNotify)
	}
	return nil
}

// socket finds the socket a packet is for. Neither a socket nor an error is returned for a packet that crossed the
// socket's end.
func (c *conn) socket(namespace string) (*Socket, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sp := c.spaceLocked(namespace)
	if sp != nil && sp.socket != nil {
		return sp.socket, nil
	}
	if sp != nil && sp.visited || c.phase != phaseOpen {
		return nil, nil //nolint:nilnil // the packet is to be ignored
	}
	return nil, errNoNamespace
}

// connect starts the authorisation for a namespace, which may take its time and therefore has a goroutine.
func (c *conn) connect(p packet) error {
	h := c.srv.handler(p.namespace)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return nil
	}
	if h == nil {
		c.refuseLocked(p.namespace, &ConnectError{Message: "Invalid namespace"})
		return nil
	}
	sp := c.spaceLocked(p.namespace)
	if sp != nil && (sp.socket != nil || sp.cancel != nil) {
		return errReconnect
	}
	if _, all := c.inUseLocked(); all >= c.srv.opts.MaxNamespaces {
		c.refuseLocked(p.namespace, &ConnectError{Message: "Too many namespaces"})
		return nil
	}
	if c.busy >= 2*c.srv.opts.MaxNamespaces {
		// Whoever connects and leaves faster than handlers follow would pile up work.
		c.shutLocked(ReasonFlood, endNotify)
		return nil
	}
	c.busy++
	if sp == nil {
		c.spaces = append(c.spaces, space{name: h.name})
		sp = &c.spaces[len(c.spaces)-1]
	}
	if h.Authorize == nil {
		if !c.admitLocked(sp, h, nil) {
			c.busy--
		}
		return nil
	}
	// The end of the session calls cancel too; a child of its context would leave a table there for good.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.srv.opts.ConnectTimeout)
	sp.cancel = cancel
	c.srv.workers.run(func() {
		defer cancel()
		principal, err := c.authorize(ctx, h, p.auth)
		if !c.admit(ctx, p.namespace, h, principal, err) {
			c.retire()
		}
	})
	return nil
}

func (c *conn) authorize(ctx context.Context, h *Handler, auth json.RawMessage) (principal any, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.srv.opts.Logger.ErrorContext(ctx, "socketio: authorize panicked", "panic", v, "stack", string(debug.Stack()))
			err = errors.New("authorize panicked")
		}
	}()
	return h.Authorize(ctx, c.req.WithContext(ctx), auth)
}

// retire notes that the handler is done with a socket, or with one that did not come to be.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy--
}

// admit answers a CONNECT and, if all is well, lets the socket live.
func (c *conn) admit(ctx context.Context, namespace string, h *Handler, principal any, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen || errors.Is(ctx.Err(), context.Canceled) {
		return false // the client left meanwhile; if it asked again, the entry in pending is not ours
	}
	sp := c.spaceLocked(namespace)
	sp.cancel = nil
	if err != nil {
		c.refuseLocked(namespace, c.refusal(ctx, err))
		return false
	}
	return c.admitLocked(sp, h, principal)
}

// admitLocked lets the socket live, unless the session has no room for the answer.
func (c *conn) admitLocked(sp *space, h *Handler, principal any) bool {
	s := newSocket(c, sp.name, h, principal)
	// The reply goes first, and the socket can be found and its Connect is in line before the client can answer it.
	if c.sendLocked(encodeConnect(sp.name, s.id)) != nil {
		return false
	}
	sp.socket, sp.visited = s, true
	c.srv.roster.add(s)
	c.lonelyAt = time.Time{}
	s.begin()
	return true
}

// refusal keeps the text of errors that were not meant for the client to ourselves.
func (c *conn) refusal(ctx context.Context, err error) *ConnectError {
	if refusal, ok := errors.AsType[*ConnectError](err); ok {
		return refusal
	}
	c.srv.opts.Logger.WarnContext(ctx, "socketio: authorize failed", "error", err)
	return &ConnectError{Message: "Internal error"}
}

// refuseLocked tells the client. Data that cannot be sent is left out, so that the client is answered in any case.
func (c *conn) refuseLocked(namespace string, refusal *ConnectError) {
	c.srv.stats.reject("namespace")
	f, err := encodeConnectError(namespace, refusal)
	if err == nil {
		err = c.sendLocked(f)
	}
	if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrSlow) {
		return
	}
	c.srv.opts.Logger.ErrorContext(c.ctx, "socketio: data of a refusal cannot be sent", "error", err)
	if f, err = encodeConnectError(namespace, &ConnectError{Message: refusal.Message}); err == nil {
		_ = c.sendLocked(f) // it is small, so only the session's end can be in the way
	}
}

// leave ends the socket of a namespace, or its authorisation.
func (c *conn) leave(namespace, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sp := c.spaceLocked(namespace)
	if sp == nil {
		return
	}
	if sp.cancel != nil {
		sp.cancel()
		sp.cancel = nil
	}
	if sp.socket != nil {
		c.dropSocketLocked(sp, reason)
	}
}

func (c *conn) dropSocketLocked(sp *space, reason string) {
	sp.socket.end(reason)
	sp.socket = nil
	if connected, _ := c.inUseLocked(); connected == 0 {
		c.lonelyLocked()
	}
}

// disconnect ends one socket from our side, or with all the whole session after telling every socket of it.
func (c *conn) disconnect(s *Socket, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase != phaseOpen {
		return
	}
	if !all {
		if sp := c.spaceLocked(s.namespace); sp != nil && sp.socket == s {
			c.dropSocketLocked(sp, ReasonServerDisconnect)
			c.pushLocked(encodeDisconnect(s.namespace))
		}
		return
	}
	for i := range c.spaces {
		if c.spaces[i].socket != nil {
			c.pushLocked(encodeDisconnect(c.spaces[i].name))
		}
	}
	c.shutLocked(ReasonServerDisconnect, endDrain)
}

func (c *conn) logIn(p enginePacket) {
	if log := c.srv.opts.EngineLogger; log != nil {
		log.InfoContext(c.ctx, "engine packet received", "sid", c.id, "type", string(p.kind), "bytes", len(p.data))
	}
}

func (c *conn) logOut(frames []frame) {
	c.logPacketsOut(frames)
	log := c.srv.opts.EngineLogger
	if log == nil {
		return
	}
	for _, f := range frames {
		log.InfoContext(c.ctx, "engine packet queued", "sid", c.id, "binary", f.binary, "bytes", len(f.payload()))
	}
}

func (c *conn) logPacket(p packet) {
	if log := c.srv.opts.PacketLogger; log != nil {
		log.InfoContext(c.ctx, "packet received", "sid", c.id, "namespace", p.namespace, "type", string(p.kind), "event", p.name)
	}
}
