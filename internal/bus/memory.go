package bus

import (
	"context"
	"sync/atomic"

	"github.com/llmctl/studio/internal/event"
)

// Memory is the bus of an installation that is one process.
type Memory struct {
	out       fanout
	published atomic.Int64
	running   atomic.Bool
}

var _ Bus = (*Memory)(nil)

// NewMemory makes a bus within this process.
func NewMemory() *Memory { return &Memory{} }

// Name is "memory".
func (*Memory) Name() string { return "memory" }

// Run has nothing to connect; it waits for the end of ctx.
func (m *Memory) Run(ctx context.Context, ready func()) error {
	m.running.Store(true)
	defer m.running.Store(false)
	ready()
	<-ctx.Done()
	return nil
}

// Publish hands the events to the subscribers.
func (m *Memory) Publish(events []event.Stored) {
	m.published.Add(int64(len(events)))
	m.out.hint(hintsOf(events)...)
}

// Subscribe hands every hint to f.
func (m *Memory) Subscribe(f func(Hint)) (cancel func()) { return m.out.subscribe(f) }

// Signal hands key to those who listen to the topic.
func (m *Memory) Signal(topic, key string) { m.out.signal(topic, key) }

// OnSignal hands the keys of a topic to f.
func (m *Memory) OnSignal(topic string, f func(key string)) (cancel func()) {
	return m.out.onSignal(topic, f)
}

// Health is OK while Run runs.
func (m *Memory) Health() Health {
	h := Health{OK: m.running.Load(), Published: m.published.Load()}
	if !h.OK {
		h.Reason = "not running"
	}
	return h
}
