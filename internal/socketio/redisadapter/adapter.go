package redisadapter

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/llmctl/studio/internal/socketio"
)

// Adapter makes a server's namespace part of a cluster of classic adapters.
type Adapter struct {
	*Emitter

	server *socketio.Server
	in     *listener
	calls  sync.WaitGroup
	slots  chan struct{} // for broadcasts whose acknowledgements are waited for

	delivered, ignored, undecodable, requests atomic.Int64
}

// maxCalls is how many broadcasts with acknowledgements may be under way.
const maxCalls = 64

// NewAdapter makes an adapter for the namespace of the options; it works while Run runs.
func NewAdapter(server *socketio.Server, o Options) (*Adapter, error) {
	emitter, err := NewEmitter(o)
	if err != nil {
		return nil, err
	}
	a := &Adapter{Emitter: emitter, server: server, slots: make(chan struct{}, maxCalls)}
	a.in = &listener{
		o: emitter.o, patterns: []string{a.channels.pattern()}, channels: []string{a.channels.request}, handle: a.handle, err: errNotRunning,
	}
	return a, nil
}

// Name is "socketio adapter".
func (*Adapter) Name() string { return "socketio adapter" }

// Run listens and publishes until ctx ends. It is ready after its first try to subscribe, whatever came of it.
func (a *Adapter) Run(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	wg.Go(func() { _ = a.Emitter.Run(ctx, func() {}) }) // it never fails
	a.in.run(ctx, ready)
	a.calls.Wait()
	wg.Wait()
	return nil
}

// Broadcast sends an event to the sockets that to selects, here and on all servers outside the group.
func (a *Adapter) Broadcast(e Event, to socketio.Audience, volatile bool) error {
	if err := a.deliver(e, to, volatile); err != nil {
		return err
	}
	a.Emit(e, cloneAudience(to), volatile)
	return nil
}

func (a *Adapter) deliver(e Event, to socketio.Audience, volatile bool) error {
	m, err := socketio.NewBinaryMessage(a.o.Namespace, e.Name, e.Attachments, e.Args...)
	if err != nil {
		return err
	}
	send := a.server.Broadcast
	if volatile {
		send = a.server.BroadcastVolatile
	}
	a.delivered.Add(int64(send(m, to)))
	return nil
}

func (a *Adapter) handle(ctx context.Context, channel string, payload []byte) {
	var err error
	if channel == a.channels.request {
		err = a.handleRequest(ctx, payload)
	} else {
		err = a.handleBroadcast(channel, payload)
	}
	if err != nil {
		a.undecodable.Add(1)
		a.o.Logger.DebugContext(ctx, "foreign message cannot be used", "error", err, "channel", channel)
	}
}

func (a *Adapter) handleBroadcast(channel string, payload []byte) error {
	room, ok := a.channels.room(channel)
	if !ok || room != "" && !a.server.HasRoom(a.o.Namespace, room) {
		a.ignored.Add(1)
		return nil // before it costs anything
	}
	b, err := decodeBroadcast(payload)
	if err != nil {
		return err
	}
	if a.own(b.uid) || b.packet.namespace() != a.o.Namespace {
		a.ignored.Add(1)
		return nil
	}
	e, err := b.packet.event(b.attachments)
	if err != nil {
		return err
	}
	return a.deliver(e, b.opts.audience(), b.opts.Flags.Volatile)
}

// Status tells how the exchange goes. Counters only grow.
type Status struct {
	OK          bool   `json:"ok"`
	Reason      string `json:"reason,omitempty"` // why not OK
	Received    int64  `json:"received"`         // messages and requests
	Delivered   int64  `json:"delivered"`        // events times sockets
	Ignored     int64  `json:"ignored"`          // not for us: our own, other namespaces, rooms without a socket
	Undecodable int64  `json:"undecodable"`
	Requests    int64  `json:"requests"`  // that were carried out or answered
	Published   int64  `json:"published"` // our events and answers
	Dropped     int64  `json:"dropped"`   // of these, those that could not be queued or sent
	Reconnects  int64  `json:"reconnects"`
}

// Status gives the state of the emitter.
func (e *Emitter) Status() Status {
	s := Status{OK: true, Published: e.published.Load(), Dropped: e.dropped.Load()}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		s.OK, s.Reason = false, e.err.Error()
	}
	return s
}

// Status gives the state of the adapter.
func (a *Adapter) Status() Status {
	s := a.Emitter.Status()
	s.Delivered, s.Ignored, s.Requests = a.delivered.Load(), a.ignored.Load(), a.requests.Load()
	s.Undecodable = a.undecodable.Load()
	a.in.addTo(&s)
	return s
}

func (l *listener) addTo(s *Status) {
	s.Received, s.Reconnects = l.received.Load(), l.reconnect.Load()
	s.Undecodable += l.tooLarge.Load()
	if err := l.health(); err != nil {
		s.OK, s.Reason = false, "not subscribed: "+err.Error()
	}
}
