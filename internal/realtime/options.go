package realtime

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/postgres"
)

// Frame is an encoded event for a client, made by Options.Encode and passed to
// Conn.Send. It is immutable and shared by all its receivers.
type Frame any

// Conn is the way to one client.
type Conn interface {
	// ID is unique among the connections of the process.
	ID() string
	// Send queues a frame. It never waits. An error means that the connection is
	// unusable; the hub then closes it.
	Send(frame Frame) error
	// Close ends the connection. It may call back into the session.
	Close(reason string)
}

// Member is a Conn that wants to know which rooms its client has been let into.
// The methods are called by the hub and must not wait.
type Member interface {
	Joined(room string)
	Left(room string)
}

// Options make a hub. Zero limits get the defaults.
type Options struct {
	DB     *postgres.DB
	Bus    bus.Bus
	Encode func(event string, args ...json.RawMessage) (Frame, error)
	// Authorize decides whether a principal may listen to a room; an *errs.Error
	// tells the client why not. It may wait; it is called outside the hub.
	Authorize func(ctx context.Context, principal any, room string) error
	Logger    *slog.Logger // nil: nowhere
	Now       func() time.Time

	SweepInterval    time.Duration // 1 s
	SweepSpacing     time.Duration // 5 ms: between sweeps that hints ask for
	PositionInterval time.Duration // 1 s
	StatementTimeout time.Duration // 5 s
	RequestTimeout   time.Duration // 15 s: for one subscription
	CursorIdle       time.Duration // 5 min: then a cursor is forgotten

	Hints        int // 8192: hints that may wait for the hub; more cost a sweep
	PageEvents   int // 1000: events read at once
	SweepEvents  int // 20000: a longer backlog is skipped and clients are told to resync
	ReplayEvents int // 5000: a longer replay is answered with resync
	ReplayBytes  int // 4 MiB
	Replays      int // 4: at the same time
	BufferEvents int // 1000: live events that wait during a replay; more close the connection
	BufferBytes  int // 2 MiB
	Rooms        int // 200 per connection
	Queue        int // 16: requests of a connection that wait for their turn
}

// QueueFrames and QueueBytes are the least that a connection's queue must take
// without having sent anything: a whole replay with its buffer, at the default
// limits.
const (
	QueueFrames = 8192
	QueueBytes  = 8 << 20
)

func (o Options) withDefaults() (Options, error) {
	if o.DB == nil || o.Bus == nil || o.Encode == nil || o.Authorize == nil {
		return o, errors.New("realtime: DB, Bus, Encode and Authorize are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	fill(&o.SweepInterval, time.Second)
	fill(&o.SweepSpacing, 5*time.Millisecond)
	fill(&o.PositionInterval, time.Second)
	fill(&o.StatementTimeout, 5*time.Second)
	fill(&o.RequestTimeout, 15*time.Second)
	fill(&o.CursorIdle, 5*time.Minute)
	fill(&o.Hints, 8192)
	fill(&o.PageEvents, 1000)
	fill(&o.SweepEvents, 20000)
	fill(&o.ReplayEvents, 5000)
	fill(&o.ReplayBytes, 4<<20)
	fill(&o.Replays, 4)
	fill(&o.BufferEvents, 1000)
	fill(&o.BufferBytes, 2<<20)
	fill(&o.Rooms, 200)
	fill(&o.Queue, 16)
	return o, nil
}

func fill[T ~int | ~int64](v *T, fallback T) {
	if *v <= 0 {
		*v = fallback
	}
}
