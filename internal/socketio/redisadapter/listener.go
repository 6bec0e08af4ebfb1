package redisadapter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// listener keeps a subscription alive and hands on what it hears.
type listener struct {
	o         Options
	patterns  []string
	channels  []string
	handle    func(ctx context.Context, channel string, payload []byte)
	received  atomic.Int64
	tooLarge  atomic.Int64
	reconnect atomic.Int64

	mu  sync.Mutex
	err error // why there is no subscription; nil while there is one
}

var errNotRunning = errors.New("not running")

// run listens until ctx ends. ready is called after the first try.
func (l *listener) run(ctx context.Context, ready func()) {
	backoff := l.o.Backoff
	once := sync.OnceFunc(ready)
	stood := false
	for turn := 0; ctx.Err() == nil; turn++ {
		sub, err := l.subscribe(ctx, turn)
		if err == nil {
			if stood {
				l.reconnect.Add(1)
			}
			stood, backoff = true, l.o.Backoff
			l.note(nil)
			once()
			err = l.receive(ctx, sub)
		}
		l.note(err)
		once()
		if ctx.Err() != nil {
			break
		}
		l.o.Logger.WarnContext(ctx, "foreign servers are not heard, subscribing again", "error", err, "pause", backoff)
		if !pause(ctx, backoff) {
			break
		}
		backoff = min(2*backoff, maxBackoff)
	}
	l.note(errNotRunning)
}

func (l *listener) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *listener) health() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *listener) subscribe(ctx context.Context, turn int) (*redis.PubSub, error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	node, err := l.o.Node(ctx, turn)
	if err != nil {
		return nil, fmt.Errorf("find a node: %w", err)
	}
	sub := node.PSubscribe(ctx, l.patterns...)
	if len(l.channels) > 0 {
		err = sub.Subscribe(ctx, l.channels...)
	}
	for range len(l.patterns) + len(l.channels) {
		if err == nil {
			_, err = sub.ReceiveTimeout(ctx, l.o.Timeout) // the confirmation
		}
	}
	if err != nil {
		_ = sub.Close() // it is given up
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return sub, nil
}

// receive hands on what arrives until the connection breaks, or stays silent although it was asked to prove itself.
func (l *listener) receive(ctx context.Context, sub *redis.PubSub) error {
	hangUp := sync.OnceFunc(func() { _ = sub.Close() }) // it is given up
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)() // the library's read does not end with the context
	asked := false
	for {
		patience := l.o.PingEvery
		if asked {
			patience = l.o.Timeout
		}
		got, err := sub.ReceiveTimeout(ctx, patience)
		switch e, isNet := errors.AsType[net.Error](err); {
		case err == nil:
			asked = false
			l.take(ctx, got)
		case isNet && e.Timeout() && !asked && ctx.Err() == nil:
			asked = true
			if err := l.ask(ctx, sub); err != nil {
				return err
			}
		default:
			return fmt.Errorf("receive: %w", err)
		}
	}
}

func (l *listener) ask(ctx context.Context, sub *redis.PubSub) error {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	if err := sub.Ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

func (l *listener) take(ctx context.Context, got any) {
	m, ok := got.(*redis.Message)
	if !ok {
		return
	}
	l.received.Add(1)
	if len(m.Payload) > l.o.MaxMessage {
		l.tooLarge.Add(1)
		return
	}
	l.handle(ctx, m.Channel, []byte(m.Payload))
}
