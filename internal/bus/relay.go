package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/llmctl/studio/internal/event"
)

// Options tune a driver that has a transport; zero values get the defaults.
type Options struct {
	Channel        string        // see the driver
	Queue          int           // 4096: hints and signals that may wait to be sent; more are dropped
	SendTimeout    time.Duration // 5 s: for a connect and for a batch
	CanaryEvery    time.Duration // 10 s
	CanaryPatience time.Duration // 5 s: when a marker is missing for longer, the driver subscribes anew
	Backoff        time.Duration // 100 ms, doubling up to 5 s
	Logger         *slog.Logger  // nil: nowhere
	Now            func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Queue <= 0 {
		o.Queue = 4096
	}
	orDefault(&o.SendTimeout, 5*time.Second)
	orDefault(&o.CanaryEvery, 10*time.Second)
	orDefault(&o.CanaryPatience, 5*time.Second)
	orDefault(&o.Backoff, 100*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func orDefault(d *time.Duration, fallback time.Duration) {
	if *d <= 0 {
		*d = fallback
	}
}

// link is a transport: what sets one driver apart from another. listen and send
// are called from one goroutine each, within deadlines that the relay sets.
type link interface {
	// open and close bracket a Run.
	open()
	close()
	// listen subscribes; when it returns, nothing that is sent is missed.
	listen(ctx context.Context) (subscription, error)
	// send hands messages over in their order, connecting first if it must.
	send(ctx context.Context, payloads []string) error
	// drop gives up what send is connected with.
	drop()
}

// subscription is the hearing end of a link.
type subscription interface {
	// next waits for a message. It has no deadline but ctx: watch ends a
	// subscription that has gone deaf.
	next(ctx context.Context) (payload string, err error)
	hangUp()
}

// limits are what a transport can carry, in bytes.
type limits struct {
	message int // of a whole message
	hint    int // of one hint in it, with its envelope
}

// relay is what the drivers with a transport share: the bounded queue, the
// batches, the canary, the subscription that is made anew.
type relay struct {
	name   string
	o      Options
	link   link
	limits limits
	// patient: ready means subscribed. A driver that the process can do without
	// is ready after its first try.
	patient bool

	origin    string
	signature string // how our own messages begin
	out       fanout
	outbox    *outbox
	canary    canary
	poke      chan struct{} // asks the sender for a canary now

	published, received, dropped, undecodable, reconnects atomic.Int64

	mu        sync.Mutex
	listening bool
	suspect   bool // a canary went missing and none has come back since
	listenErr error
	sendErr   error
	hangUp    context.CancelFunc // ends the current subscription
}

func newRelay(name string, o Options, l link, lim limits) *relay {
	origin := uuid.NewString()
	return &relay{
		name: name, o: o, link: l, limits: lim, patient: true, origin: origin, signature: signature(origin),
		outbox: newOutbox(o.Queue), poke: make(chan struct{}, 1),
		listenErr: errors.New("not running"),
	}
}

// Name is the driver's name.
func (r *relay) Name() string { return r.name }

// Run listens and sends until ctx ends; lost connections are made anew.
func (r *relay) Run(ctx context.Context, ready func()) error {
	r.link.open()
	defer r.link.close()
	var wg sync.WaitGroup
	wg.Go(func() { r.send(ctx) })
	wg.Go(func() { r.watch(ctx) })
	r.listen(ctx, ready)
	wg.Wait()
	return nil
}

// Publish hands the events to the subscribers of this process at once and
// queues them for the others.
func (r *relay) Publish(events []event.Stored) {
	r.published.Add(int64(len(events)))
	hints := hintsOf(events)
	r.out.hint(hints...)
	all := make([]outgoing, len(hints))
	for i, h := range hints {
		all[i].hint = h
	}
	r.dropped.Add(int64(r.outbox.add(all...)))
}

// Signal hands key to those who listen to the topic, here and elsewhere.
func (r *relay) Signal(topic, key string) {
	r.out.signal(topic, key)
	r.dropped.Add(int64(r.outbox.add(outgoing{signal: wireSignal{Topic: topic, Key: key}})))
}

// Subscribe hands every hint to f.
func (r *relay) Subscribe(f func(Hint)) (cancel func()) { return r.out.subscribe(f) }

// OnSignal hands the keys of a topic to f.
func (r *relay) OnSignal(topic string, f func(key string)) (cancel func()) {
	return r.out.onSignal(topic, f)
}

// Health is OK while both connections stand and the canaries come back.
func (r *relay) Health() Health {
	h := Health{
		OK: true, LastHeard: r.canary.lastHeard(),
		Published: r.published.Load(), Received: r.received.Load(), Dropped: r.dropped.Load(),
		Undecodable: r.undecodable.Load(), Reconnects: r.reconnects.Load(),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.listening && r.listenErr != nil:
		h.OK, h.Reason = false, "not subscribed: "+r.listenErr.Error()
	case !r.listening:
		h.OK, h.Reason = false, "not subscribed"
	case r.sendErr != nil:
		h.OK, h.Reason = false, "cannot send: "+r.sendErr.Error()
	case r.suspect || r.canary.missing(r.o.Now(), r.o.CanaryPatience):
		h.OK, h.Reason = false, "own marker did not come back"
	}
	return h
}

// pause waits; false means that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// maxBackoff bounds the pause between two tries to connect.
const maxBackoff = 5 * time.Second

func longer(d time.Duration) time.Duration { return min(2*d, maxBackoff) }
