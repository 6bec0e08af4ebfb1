package bus

import (
	"maps"
	"slices"
	"sync"

	"github.com/llmctl/studio/internal/event"
)

// fanout hands hints and signals to the subscribers of this process. The lists
// are copied on change, so that handing out holds no lock.
type fanout struct {
	mu      sync.Mutex
	next    int
	hints   map[int]func(Hint)
	signals map[string]map[int]func(string)
}

func (f *fanout) subscribe(handler func(Hint)) (cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hints == nil {
		f.hints = map[int]func(Hint){}
	}
	f.next++
	id := f.next
	f.hints[id] = handler
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.hints, id)
	}
}

func (f *fanout) onSignal(topic string, handler func(string)) (cancel func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.signals == nil {
		f.signals = map[string]map[int]func(string){}
	}
	if f.signals[topic] == nil {
		f.signals[topic] = map[int]func(string){}
	}
	f.next++
	id := f.next
	f.signals[topic][id] = handler
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.signals[topic], id)
		if len(f.signals[topic]) == 0 {
			delete(f.signals, topic)
		}
	}
}

// wantsHints tells whether anybody here takes hints.
func (f *fanout) wantsHints() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.hints) > 0
}

func (f *fanout) hint(hints ...Hint) {
	f.mu.Lock()
	handlers := slices.Collect(maps.Values(f.hints))
	f.mu.Unlock()
	for _, handler := range handlers {
		for _, h := range hints {
			handler(h)
		}
	}
}

func (f *fanout) signal(topic, key string) {
	f.mu.Lock()
	handlers := slices.Collect(maps.Values(f.signals[topic]))
	f.mu.Unlock()
	for _, handler := range handlers {
		handler(key)
	}
}

// hintsOf turns committed events into hints that share them.
func hintsOf(events []event.Stored) []Hint {
	hints := make([]Hint, len(events))
	for i := range events {
		e := &events[i]
		hints[i] = Hint{
			Stream: e.Envelope.SequenceStream, Sequence: e.Envelope.Sequence,
			Rooms: e.Envelope.RoomKeys, Envelope: e,
		}
	}
	return hints
}
