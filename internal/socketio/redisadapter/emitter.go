package redisadapter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmctl/studio/internal/socketio"
)

// Options are what emitters, adapters and bridges have in common; zero values get the defaults.
type Options struct {
	// Node gives a client to publish or subscribe through; turn grows with each failure. With a Cluster it must be of
	// one server, for publishes through several lose their order. The clients belong to the caller.
	Node func(ctx context.Context, turn int) (redis.UniversalClient, error)
	// Key begins the names of the channels, as the other side has it. Default "socket.io".
	Key string
	// Namespace is the one that is shared. Default "/".
	Namespace string
	// Group is who must not hear of each other through Redis. Default: this value alone.
	Group string

	QueueMessages int           // 4096: may wait to be published; more are dropped
	QueueBytes    int           // 16 MiB, of the same
	MaxMessage    int           // 1 MiB: larger messages from outside are dropped
	Timeout       time.Duration // 5 s: for a connect, a publish, a proof that the subscription hears
	PingEvery     time.Duration // 10 s: silence after which the subscription must prove itself
	Backoff       time.Duration // 100 ms, doubling up to 5 s
	Logger        *slog.Logger  // nil: nowhere
}

func (o Options) withDefaults() (Options, error) {
	if o.Node == nil {
		return o, errors.New("redisadapter: Node is needed")
	}
	fill(&o.Key, "socket.io")
	fill(&o.Namespace, "/")
	fill(&o.QueueMessages, 4096)
	fill(&o.QueueBytes, 16<<20)
	fill(&o.MaxMessage, 1<<20)
	fill(&o.Timeout, 5*time.Second)
	fill(&o.PingEvery, 10*time.Second)
	fill(&o.Backoff, 100*time.Millisecond)
	fill(&o.Group, rand.Text())
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func fill[T comparable](v *T, fallback T) {
	var zero T
	if *v == zero {
		*v = fallback
	}
}

const (
	maxBackoff = 5 * time.Second
	maxBatch   = 256 // messages that go out at once
)

// outgoing is a message that waits; it is encoded when its turn comes, away from whoever gave it.
type outgoing struct {
	channel string
	encode  func() ([]byte, error)
	size    int
}

// Emitter publishes events to the servers of a cluster, without having sockets itself. It never makes anybody wait:
// what cannot be queued or sent is dropped and counted.
type Emitter struct {
	o        Options
	uid      string
	channels channels
	queue    chan outgoing
	queued   atomic.Int64 // bytes

	published, dropped atomic.Int64
	mu                 sync.Mutex
	err                error // of the last publish
}

// NewEmitter makes an emitter; it sends while Run runs.
func NewEmitter(o Options) (*Emitter, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Emitter{
		o: o, uid: o.Group + "." + rand.Text(), channels: channelsOf(o.Key, o.Namespace),
		queue: make(chan outgoing, o.QueueMessages),
	}, nil
}

// Emit queues an event for the sockets that a selects on all servers outside the group.
func (e *Emitter) Emit(event Event, a socketio.Audience, volatile bool) {
	size := 256 + len(event.Name)
	for _, arg := range event.Args {
		size += len(arg)
	}
	for _, one := range event.Attachments {
		size += len(one)
	}
	e.enqueue(outgoing{channel: e.channels.forRooms(a.Rooms), size: size, encode: func() ([]byte, error) {
		return encodeBroadcast(e.uid, e.o.Namespace, event, a, volatile)
	}})
}

func (e *Emitter) enqueue(m outgoing) {
	if e.queued.Add(int64(m.size)) > int64(e.o.QueueBytes) {
		e.queued.Add(-int64(m.size))
		e.dropped.Add(1)
		return
	}
	select {
	case e.queue <- m:
	default:
		e.queued.Add(-int64(m.size))
		e.dropped.Add(1)
	}
}

// own reports whether a message came from the group.
func (e *Emitter) own(uid string) bool {
	group := e.o.Group + "."
	return len(uid) > len(group) && uid[:len(group)] == group
}

// Name is "socketio emitter".
func (*Emitter) Name() string { return "socketio emitter" }

// Run publishes until ctx ends, and what is queued then within a second. It is ready at once: a Redis that is away
// keeps nobody from anything.
func (e *Emitter) Run(ctx context.Context, ready func()) error {
	ready()
	backoff, turn := e.o.Backoff, 0
	var again <-chan time.Time // set after a failure, lest the trouble be told for as long as nobody emits
	for {
		select {
		case <-ctx.Done():
			e.last(ctx, turn)
			return nil
		case <-again:
			again = nil
			if e.probe(ctx, turn) != nil {
				turn++
				again = time.After(e.o.PingEvery)
			}
		case first := <-e.queue:
			if err := e.publish(ctx, e.batch(first), turn); err != nil {
				turn++
				again = time.After(e.o.PingEvery)
				e.o.Logger.WarnContext(ctx, "foreign servers could not be told", "error", err, "pause", backoff)
				pause(ctx, backoff) // when ctx ended it, the loop sees so
				backoff = min(2*backoff, maxBackoff)
				continue
			}
			backoff = e.o.Backoff
		}
	}
}

func (e *Emitter) last(ctx context.Context, turn int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for {
		select {
		case first := <-e.queue:
			if e.publish(ctx, e.batch(first), turn) != nil {
				return
			}
		default:
			return
		}
	}
}

func (e *Emitter) batch(first outgoing) []outgoing {
	out := []outgoing{first}
	for len(out) < maxBatch {
		select {
		case next := <-e.queue:
			out = append(out, next)
		default:
			return out
		}
	}
	return out
}

func (e *Emitter) note(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

// probe finds out whether publishing would go well again.
func (e *Emitter) probe(ctx context.Context, turn int) (err error) {
	defer func() { e.note(err) }()
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	node, err := e.o.Node(ctx, turn)
	if err != nil {
		return fmt.Errorf("find a node: %w", err)
	}
	if err := node.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

func (e *Emitter) publish(ctx context.Context, batch []outgoing, turn int) (err error) {
	defer func() { e.note(err) }()
	for _, m := range batch {
		e.queued.Add(-int64(m.size))
	}
	ctx, cancel := context.WithTimeout(ctx, e.o.Timeout)
	defer cancel()
	node, err := e.o.Node(ctx, turn)
	if err != nil {
		e.dropped.Add(int64(len(batch)))
		return fmt.Errorf("find a node: %w", err)
	}
	sent := 0
	_, err = node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, m := range batch {
			body, err := m.encode()
			if err != nil {
				e.dropped.Add(1)
				e.o.Logger.WarnContext(ctx, "event cannot be told to foreign servers", "error", err, "channel", m.channel)
				continue
			}
			pipe.Publish(ctx, m.channel, body)
			sent++
		}
		return nil
	})
	if err != nil {
		e.dropped.Add(int64(sent))
		return fmt.Errorf("publish: %w", err)
	}
	e.published.Add(int64(sent))
	return nil
}

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

// cloneAudience keeps what a caller may change meanwhile.
func cloneAudience(a socketio.Audience) socketio.Audience {
	return socketio.Audience{Rooms: slices.Clone(a.Rooms), Except: slices.Clone(a.Except)}
}
