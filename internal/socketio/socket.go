package socketio

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Handler is what a namespace does. Every field may be nil.
type Handler struct {
	// Authorize decides on a connection; what it returns is the socket's principal. A [*ConnectError] is told to the
	// client, any other error is logged and told as an internal one. The context ends with the session and after
	// [Options.ConnectTimeout].
	Authorize func(ctx context.Context, r *http.Request, auth json.RawMessage) (principal any, err error)
	// Connect is called first, after the reply to the client was queued.
	Connect func(s *Socket)
	// Event is called for each event, in order. ack is nil when the client wants no acknowledgement; otherwise its
	// first call sends one. Attachments appear in args as base64 strings, which encoding/json decodes into a []byte.
	Event func(s *Socket, name string, args []json.RawMessage, ack func(args ...any))
	// BinaryEvent, when set, is called instead of Event for an event with attachments, and has them as they came: args
	// hold {"_placeholder":true,"num":N} in place of attachment N.
	BinaryEvent func(s *Socket, name string, args []json.RawMessage, attachments [][]byte, ack func(args ...any))
	// Disconnect is called last, with one of the Reason constants.
	Disconnect func(s *Socket, reason string)

	name string // of the namespace; one string for all sockets
}

// Socket is a client in a namespace. Its methods may be called from any goroutine, and none but [Socket.Call] waits.
type Socket struct {
	id        string
	namespace string
	principal any
	conn      *conn
	handler   *Handler
	closed    atomic.Bool

	mu         sync.Mutex
	ctx        context.Context //nolint:containedctx // made when asked for; its end is the socket's end
	cancel     context.CancelCauseFunc
	cause      error // why it ended
	inbox      []task
	inboxBytes int
	running    bool
	ended      bool
	calls      map[uint64]chan []json.RawMessage
	lastCall   uint64

	rooms map[string]struct{} // guarded by the server's roster
}

// argumentCost is what an argument takes in memory besides its text; without it a packet of a million tiny arguments
// would count as small.
const argumentCost = 32

// task is one call of the handler.
type task struct {
	run  func()
	size int
}

func newSocket(c *conn, namespace string, h *Handler, principal any) *Socket {
	return &Socket{id: rand.Text(), namespace: namespace, principal: principal, conn: c, handler: h}
}

// ID returns the socket's id. It differs from the ids of all other sockets and from that of the session below it.
func (s *Socket) ID() string { return s.id }

// Namespace returns the name of the socket's namespace.
func (s *Socket) Namespace() string { return s.namespace }

// Principal returns what [Handler.Authorize] returned.
func (s *Socket) Principal() any { return s.principal }

// Request returns the request that opened the session: headers, cookies and addresses, no body. It is shared and must
// not be changed.
func (s *Socket) Request() *http.Request { return s.conn.req }

// Transport returns [TransportPolling] or [TransportWebSocket], which may follow it.
func (s *Socket) Transport() string { return s.conn.transport() }

// Context is done when the socket is disconnected; its cause says why.
func (s *Socket) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx == nil {
		s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(s.conn.ctx))
		if s.cause != nil {
			s.cancel(s.cause)
		}
	}
	return s.ctx
}

// Emit queues an event for this socket. Arguments are encoded as JSON, except [Binary] ones. It fails with [ErrClosed],
// [ErrSlow] (which ends the session), [ErrTooLarge], or when an argument cannot be encoded.
func (s *Socket) Emit(name string, args ...any) error {
	return s.emit(packet{kind: packetEvent, namespace: s.namespace}, name, args)
}

func (s *Socket) emit(head packet, name string, args []any) error {
	items, attachments, err := encodeArgs(args)
	if err != nil {
		return err
	}
	frames, err := encodeEvent(head, name, items, attachments)
	if err != nil {
		return err
	}
	return s.send(frames)
}

// Send queues a message, which must be for this socket's namespace. It fails with [ErrClosed], [ErrSlow] (which ends
// the session) or [ErrTooLarge].
func (s *Socket) Send(m *Message) error {
	if m.namespace != s.namespace {
		return fmt.Errorf("socketio: message for %q sent to a socket in %q", m.namespace, s.namespace)
	}
	return s.send(m.frames)
}

func (s *Socket) send(frames []frame) error {
	if s.closed.Load() {
		return ErrClosed
	}
	return s.conn.send(frames...)
}

// Call emits an event and waits for the client's acknowledgement, whose arguments it returns (attachments as base64
// strings). It fails as [Socket.Emit] does, with [ErrTooManyCalls], or with the context's error.
func (s *Socket) Call(ctx context.Context, name string, args ...any) ([]json.RawMessage, error) {
	id, answer, err := s.openCall()
	if err != nil {
		return nil, err
	}
	defer s.closeCall(id)
	head := packet{kind: packetEvent, namespace: s.namespace, id: id, hasID: true}
	if err := s.emit(head, name, args); err != nil {
		return nil, err
	}
	select {
	case got := <-answer:
		return got, nil
	case <-s.Context().Done():
		return nil, ErrClosed
	case <-ctx.Done():
		s.conn.srv.stats.ackTimeouts.Add(1)
		return nil, ctx.Err()
	}
}

func (s *Socket) openCall() (uint64, <-chan []json.RawMessage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) >= s.conn.srv.opts.MaxPendingCalls {
		return 0, nil, ErrTooManyCalls
	}
	answer := make(chan []json.RawMessage, 1)
	id := s.lastCall
	s.lastCall++
	if s.calls == nil {
		s.calls = map[uint64]chan []json.RawMessage{}
	}
	s.calls[id] = answer
	return id, answer, nil
}

func (s *Socket) closeCall(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
}

// resolve takes an acknowledgement. One that nobody waits for is ignored: the wait may have been given up.
func (s *Socket) resolve(p packet, attachments [][]byte) error {
	args := p.args
	if len(attachments) > 0 {
		var err error
		if args, err = inlineAttachments(args, attachments); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.calls[p.id]; answer != nil {
		answer <- args // holds one, and the entry goes with it
		delete(s.calls, p.id)
	}
	return nil
}

// Disconnect ends the socket; the client is told and does not come back by itself. With closeTransport all other
// sockets of the same session end too, and the session.
func (s *Socket) Disconnect(closeTransport bool) { s.conn.disconnect(s, closeTransport) }

// begin puts Connect in line.
func (s *Socket) begin() {
	if s.handler.Connect == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(task{run: func() { s.handler.Connect(s) }})
}

// end puts Disconnect in line, behind the events that have arrived, and ends the context.
func (s *Socket) end(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pushLocked(task{run: func() {
		defer s.conn.retire()
		if s.handler.Disconnect != nil {
			s.handler.Disconnect(s, reason)
		}
	}})
	s.ended = true
	s.conn.srv.roster.remove(s)
	s.closed.Store(true)
	s.cause = errors.New("socketio: " + reason)
	if s.cancel != nil {
		s.cancel(s.cause)
	}
}

// deliver puts an event in line; false means that the line is too long.
func (s *Socket) deliver(p packet, attachments [][]byte, size int) bool {
	size += argumentCost * len(p.args)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) >= s.conn.srv.opts.InboxEvents || s.inboxBytes+size > s.conn.srv.opts.InboxBytes {
		return false
	}
	s.pushLocked(task{size: size, run: func() { s.handle(p, attachments) }})
	return true
}

func (s *Socket) handle(p packet, attachments [][]byte) {
	ack := s.acknowledger(p)
	switch {
	case len(attachments) > 0 && s.handler.BinaryEvent != nil:
		s.handler.BinaryEvent(s, p.name, p.args, attachments, ack)
	case s.handler.Event == nil:
	case len(attachments) == 0:
		s.handler.Event(s, p.name, p.args, ack)
	default:
		args, err := inlineAttachments(p.args, attachments)
		if err != nil {
			s.conn.shut(ReasonParseError, endNotify)
			return
		}
		s.handler.Event(s, p.name, args, ack)
	}
}

// acknowledger returns what sends the acknowledgement of p, once, or nil if none is wanted.
func (s *Socket) acknowledger(p packet) func(args ...any) {
	if !p.hasID {
		return nil
	}
	var once sync.Once
	return func(args ...any) {
		once.Do(func() {
			if err := s.acknowledge(p.id, args); err != nil && !errors.Is(err, ErrClosed) {
				s.conn.srv.opts.Logger.WarnContext(s.conn.ctx, "socketio: acknowledgement not sent", "event", p.name, "error", err)
			}
		})
	}
}

func (s *Socket) acknowledge(id uint64, args []any) error {
	items, attachments, err := encodeArgs(args)
	if err != nil {
		return err
	}
	frames, err := encodeFrames(packet{kind: packetAck, namespace: s.namespace, id: id, hasID: true}, items, attachments)
	if err != nil {
		return err
	}
	return s.send(frames)
}

// pushLocked puts a task in line and sees to it that somebody works on the line. After the end nothing is taken.
func (s *Socket) pushLocked(t task) {
	if s.ended {
		return
	}
	s.inbox = append(s.inbox, t)
	s.inboxBytes += t.size
	if !s.running {
		s.running = true
		s.conn.srv.workers.run(s.work)
	}
}

// work runs tasks until there are none.
func (s *Socket) work() {
	for t, ok := s.pop(); ok; t, ok = s.pop() {
		s.runTask(t)
	}
}

func (s *Socket) pop() (task, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inbox) == 0 {
		s.inbox, s.running = nil, false
		return task{}, false
	}
	t := s.inbox[0]
	s.inbox[0] = task{} // the array must not keep the event alive
	s.inbox = s.inbox[1:]
	s.inboxBytes -= t.size
	return t, true
}

// runTask keeps a panic of the handler from taking the process along; the session does not survive it.
func (s *Socket) runTask(t task) {
	defer func() {
		if v := recover(); v != nil {
			s.conn.srv.opts.Logger.ErrorContext(s.conn.ctx, "socketio: handler panicked", "panic", v, "stack", string(debug.Stack()))
			s.conn.shut(ReasonHandlerPanic, endNotify)
		}
	}()
	t.run()
}

// Drop ends the whole session without a DISCONNECT packet, so that the client comes back by itself. The reason is for
// [Handler.Disconnect] and the statistics.
func (s *Socket) Drop(reason string) { s.conn.shut(reason, endDrain) }
