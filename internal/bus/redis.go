package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/llmctl/studio/internal/redisconn"
)

// RedisOptions tune the redis driver; the channel is the address's "bus" unless
// they say otherwise.
type RedisOptions = Options

// What a message and a hint may have. A publish of this size is one write; what
// is larger is cheaper to read from the log by those who want it.
const (
	maxRedisMessage = 64 << 10
	maxRedisHint    = 32 << 10
)

// Redis sends hints with PUBLISH and hears them with SUBSCRIBE, each on a
// connection of its own. Nothing is kept in Redis: whatever becomes of it, hints
// are missed at worst, and the log has the events.
type Redis struct{ *relay }

var _ Bus = (*Redis)(nil)

// NewRedis makes a bus over a Redis deployment. It connects in Run, whose first
// try need not succeed for the process to serve.
func NewRedis(address *redisconn.Address, o RedisOptions) *Redis {
	o = o.withDefaults()
	if o.Channel == "" {
		o.Channel = address.Channel("bus")
	}
	link := &redisLink{address: address, o: o}
	r := newRelay("redis", o, link, limits{message: maxRedisMessage, hint: maxRedisHint})
	r.patient = false
	return &Redis{r}
}

// redisLink has two clients, so that what one does to its connections does not
// concern the other.
type redisLink struct {
	address *redisconn.Address
	o       Options
	err     error // of open
	hearing redis.UniversalClient
	sending redis.UniversalClient
	node    redis.UniversalClient // of sending, that publishes go through
	// turns count failures, so that a Cluster is tried at another node.
	hearTurn, sendTurn int
}

func (l *redisLink) open() {
	var errs [2]error
	l.hearing, errs[0] = l.address.Client(l.o.SendTimeout)
	l.sending, errs[1] = l.address.Client(l.o.SendTimeout)
	l.err = errors.Join(errs[:]...)
}

func (l *redisLink) close() {
	for _, c := range []redis.UniversalClient{l.hearing, l.sending} {
		if c != nil {
			_ = c.Close() // its connections are given up anyway
		}
	}
}

func (l *redisLink) listen(ctx context.Context) (subscription, error) {
	if l.err != nil {
		return nil, l.err
	}
	node, err := redisconn.Node(ctx, l.hearing, l.hearTurn)
	l.hearTurn++
	if err != nil {
		return nil, fmt.Errorf("find a node of %s: %w", l.address, err)
	}
	sub := node.Subscribe(ctx, l.o.Channel)
	if _, err := sub.ReceiveTimeout(ctx, l.o.SendTimeout); err != nil { // the confirmation
		_ = sub.Close()
		return nil, fmt.Errorf("subscribe at %s: %w", l.address, err)
	}
	return &redisSubscription{sub: sub}, nil
}

// send publishes all messages in one round trip.
func (l *redisLink) send(ctx context.Context, payloads []string) error {
	if l.err != nil {
		return l.err
	}
	var err error
	if l.node == nil {
		if l.node, err = redisconn.Node(ctx, l.sending, l.sendTurn); err != nil {
			return fmt.Errorf("find a node of %s: %w", l.address, err)
		}
	}
	_, err = l.node.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, p := range payloads {
			pipe.Publish(ctx, l.o.Channel, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("publish at %s: %w", l.address, err)
	}
	return nil
}

// drop looks for another node; the pool has thrown away the connection.
func (l *redisLink) drop() {
	l.node = nil
	l.sendTurn++
}

type redisSubscription struct {
	sub  *redis.PubSub
	once sync.Once
}

func (s *redisSubscription) next(ctx context.Context) (string, error) {
	// The library's read does not end with the context.
	stop := context.AfterFunc(ctx, s.hangUp)
	defer stop()
	for {
		got, err := s.sub.ReceiveTimeout(ctx, 0)
		if err != nil {
			return "", err
		}
		if m, ok := got.(*redis.Message); ok {
			return m.Payload, nil
		}
	}
}

func (s *redisSubscription) hangUp() {
	s.once.Do(func() { _ = s.sub.Close() }) // the connection is given up anyway
}
