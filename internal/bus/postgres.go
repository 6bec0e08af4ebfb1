package bus

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// PostgresOptions tune the postgres driver; zero values get the defaults.
type PostgresOptions struct {
	Channel        string        // "llmctl_bus"
	Queue          int           // 4096: hints and signals that may wait to be sent; more are dropped
	SendTimeout    time.Duration // 5 s: for a connect and for a batch
	CanaryEvery    time.Duration // 10 s
	CanaryPatience time.Duration // 5 s: when a marker is missing for longer, the driver subscribes anew
	Backoff        time.Duration // 100 ms, doubling up to 5 s
	Logger         *slog.Logger  // nil: nowhere
	Now            func() time.Time
}

// maxPayload keeps a message below what NOTIFY takes (8000 bytes).
const maxPayload = 7 << 10

// maxBatch bounds how many hints one statement sends.
const maxBatch = 512

// Postgres sends hints with NOTIFY and hears them with LISTEN, each on a
// connection of its own, so that neither waits for the pool.
type Postgres struct {
	o      PostgresOptions
	config *pgx.ConnConfig
	origin string
	out    fanout
	queue  chan outgoing
	canary canary
	poke   chan struct{} // asks the sender for a canary now

	published, received, dropped, undecodable, reconnects atomic.Int64

	mu        sync.Mutex
	listening bool
	suspect   bool // a canary went missing and none has come back since
	listenErr error
	sendErr   error
	hangUp    context.CancelFunc // ends the current subscription
}

var _ Bus = (*Postgres)(nil)

// outgoing is what waits to be sent: a hint, or a signal.
type outgoing struct {
	hint   Hint
	signal wireSignal
}

// NewPostgres makes a bus over the database that db points at. It connects in
// Run.
func NewPostgres(db *postgres.DB, o PostgresOptions) *Postgres {
	if o.Channel == "" {
		o.Channel = "llmctl_bus"
	}
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
	return &Postgres{
		o: o, config: db.Pool.Config().ConnConfig.Copy(), origin: uuid.NewString(),
		queue: make(chan outgoing, o.Queue), poke: make(chan struct{}, 1),
		listenErr: errors.New("not running"),
	}
}

func orDefault(d *time.Duration, fallback time.Duration) {
	if *d <= 0 {
		*d = fallback
	}
}

// Name is "postgres".
func (*Postgres) Name() string { return "postgres" }

// Run listens and sends until ctx ends; lost connections are made anew.
func (p *Postgres) Run(ctx context.Context, ready func()) error {
	var wg sync.WaitGroup
	wg.Go(func() { p.send(ctx) })
	wg.Go(func() { p.watch(ctx) })
	p.listen(ctx, ready)
	wg.Wait()
	return nil
}

// Publish hands the events to the subscribers of this process at once and
// queues them for the others.
func (p *Postgres) Publish(events []event.Stored) {
	p.published.Add(int64(len(events)))
	hints := hintsOf(events)
	p.out.hint(hints...)
	for _, h := range hints {
		p.enqueue(outgoing{hint: h})
	}
}

// Signal hands key to those who listen to the topic, here and elsewhere.
func (p *Postgres) Signal(topic, key string) {
	p.out.signal(topic, key)
	p.enqueue(outgoing{signal: wireSignal{Topic: topic, Key: key}})
}

func (p *Postgres) enqueue(o outgoing) {
	select {
	case p.queue <- o:
	default:
		p.dropped.Add(1)
	}
}

// Subscribe hands every hint to f.
func (p *Postgres) Subscribe(f func(Hint)) (cancel func()) { return p.out.subscribe(f) }

// OnSignal hands the keys of a topic to f.
func (p *Postgres) OnSignal(topic string, f func(key string)) (cancel func()) {
	return p.out.onSignal(topic, f)
}

// Health is OK while both connections stand and the canaries come back.
func (p *Postgres) Health() Health {
	h := Health{
		OK: true, LastHeard: p.canary.lastHeard(),
		Published: p.published.Load(), Received: p.received.Load(), Dropped: p.dropped.Load(),
		Undecodable: p.undecodable.Load(), Reconnects: p.reconnects.Load(),
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.listening && p.listenErr != nil:
		h.OK, h.Reason = false, "not subscribed: "+p.listenErr.Error()
	case !p.listening:
		h.OK, h.Reason = false, "not subscribed"
	case p.sendErr != nil:
		h.OK, h.Reason = false, "cannot send: "+p.sendErr.Error()
	case p.suspect || p.canary.missing(p.o.Now(), p.o.CanaryPatience):
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

func (p *Postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.SendTimeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, p.config.Copy())
}

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // the connection is given up anyway
}
