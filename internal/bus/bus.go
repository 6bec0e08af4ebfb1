package bus

import (
	"context"
	"time"

	"github.com/llmctl/studio/internal/event"
)

// Hint says that a stream has reached a number. A hint without a stream says
// that hints may have been lost, so that it is time to look at the log.
type Hint struct {
	Stream   string
	Sequence int64
	Rooms    []string      // may be missing when they were too large to travel
	Envelope *event.Stored // nil when it was too large to travel; shared: never change it
}

// Bus carries hints and signals. Publish makes it an event.Publisher.
type Bus interface {
	event.Publisher

	// Name is the driver's name: memory, postgres, redis.
	Name() string
	// Run connects and serves until ctx ends, and returns nil then. It calls ready
	// once: after the first successful subscription or, where a process can do
	// without the transport (redis), after the first try.
	Run(ctx context.Context, ready func()) error
	// Subscribe hands every hint to f until cancel is called. After cancel has
	// returned, f may still be running for a hint that was under way.
	Subscribe(f func(Hint)) (cancel func())
	// Signal tells everyone who listens to the topic about key: lossy, fast.
	Signal(topic, key string)
	// OnSignal hands the keys of a topic to f until cancel is called.
	OnSignal(topic string, f func(key string)) (cancel func())
	// Health tells whether the transport carries, as far as is known.
	Health() Health
}

// Health is a driver's state and its counters since the start.
type Health struct {
	OK          bool      `json:"ok"`
	Reason      string    `json:"reason,omitempty"` // why not OK
	LastHeard   time.Time `json:"last_heard,omitzero"`
	Published   int64     `json:"published"`   // hints given to Publish
	Received    int64     `json:"received"`    // hints of other processes
	Dropped     int64     `json:"dropped"`     // hints and signals that never left
	Undecodable int64     `json:"undecodable"` // messages that were not ours
	Reconnects  int64     `json:"reconnects"`
}
