// Package bustest has the conformance suite of package bus, which every driver
// must pass.
package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/event"
)

// Patience is how long a test waits for what must happen.
const Patience = 20 * time.Second

// Driver is what the suite needs to know of a driver.
type Driver struct {
	// Cluster makes n buses of one installation, as n processes have them. A
	// driver of a single process gives the same bus n times.
	Cluster func(t *testing.T, n int) []bus.Bus
	// MaxEnvelope is the size above which envelopes stay at home; 0: they never do.
	MaxEnvelope int
}

// Run runs the suite.
func Run(t *testing.T, d Driver) {
	t.Helper()
	t.Run("hints reach every process once", func(t *testing.T) { t.Parallel(); everyProcessOnce(t, d) })
	t.Run("hints carry the event unchanged", func(t *testing.T) { t.Parallel(); unchanged(t, d) })
	t.Run("one publisher's hints keep their order", func(t *testing.T) { t.Parallel(); keepOrder(t, d) })
	t.Run("large envelopes do not stop the hint", func(t *testing.T) { t.Parallel(); large(t, d) })
	t.Run("own subscribers hear at once", func(t *testing.T) { t.Parallel(); localFirst(t, d) })
	t.Run("cancelled subscribers hear nothing more", func(t *testing.T) { t.Parallel(); cancelled(t, d) })
	t.Run("signals reach the listeners of their topic", func(t *testing.T) { t.Parallel(); signals(t, d) })
	t.Run("publishing before and after Run does not block", func(t *testing.T) { t.Parallel(); idle(t, d) })
	t.Run("health follows Run", func(t *testing.T) { t.Parallel(); health(t, d) })
}

// Start runs a bus until the test ends and waits until it is ready.
func Start(tb testing.TB, b bus.Bus) {
	tb.Helper()
	stop := start(tb, b)
	tb.Cleanup(stop)
}

func start(tb testing.TB, b bus.Bus) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(tb.Context()))
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- b.Run(ctx, sync.OnceFunc(func() { close(ready) })) }()
	select {
	case <-ready:
	case <-time.After(Patience):
		cancel()
		require.FailNow(tb, "bus did not become ready", "%+v", b.Health())
	}
	return sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(tb, err)
		case <-time.After(Patience):
			require.FailNow(tb, "bus did not stop")
		}
	})
}

func cluster(t *testing.T, d Driver, n int) []bus.Bus {
	t.Helper()
	buses := d.Cluster(t, n)
	started := map[bus.Bus]bool{}
	for _, b := range buses {
		if !started[b] {
			started[b] = true
			Start(t, b)
		}
	}
	return buses
}

// collect gives a channel of all named hints of b.
func collect(t *testing.T, b bus.Bus) <-chan bus.Hint {
	t.Helper()
	hints := make(chan bus.Hint, 10000)
	t.Cleanup(b.Subscribe(func(h bus.Hint) {
		if h.Stream != "" {
			hints <- h
		}
	}))
	return hints
}

// Receive takes the next value or fails.
func Receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// Event makes a stored event.
func Event(stream string, sequence int64, payload string) event.Stored {
	id := uuid.Must(uuid.NewV7())
	return event.Stored{XID: uint64(1000 + sequence), Envelope: event.Envelope{
		ContractVersion: event.ContractVersion, EventID: id, IdempotencyKey: id,
		Sequence: sequence, SequenceStream: stream, EmittedAt: event.Time{Time: time.Now().UTC().Truncate(time.Microsecond)},
		EventType: "test:happened", EntityKind: "test", EntityID: "1", RoomKeys: []string{stream, "studio"},
		RequestID: "r", CorrelationID: "c", Runtime: json.RawMessage("null"), Payload: json.RawMessage(payload),
	}}
}

func everyProcessOnce(t *testing.T, d Driver) {
	t.Helper()
	buses := cluster(t, d, 3)
	var heard []<-chan bus.Hint
	for _, b := range buses {
		heard = append(heard, collect(t, b))
	}
	buses[0].Publish([]event.Stored{Event("a:1", 1, `{}`), Event("a:1", 2, `{}`)})
	buses[0].Publish([]event.Stored{Event("end:1", 1, `{}`)})
	for _, hints := range heard {
		require.Equal(t, int64(1), Receive(t, hints).Sequence)
		require.Equal(t, int64(2), Receive(t, hints).Sequence)
		require.Equal(t, "end:1", Receive(t, hints).Stream) // so there was no third one between
	}
}

func unchanged(t *testing.T, d Driver) {
	t.Helper()
	buses := cluster(t, d, 2)
	hints := collect(t, buses[1])
	sent := Event("a:1", 7, `{"text":"<b>ümläut \u0000</b>","n":1.50}`)
	buses[0].Publish([]event.Stored{sent})
	got := Receive(t, hints)
	require.Equal(t, "a:1", got.Stream)
	require.Equal(t, int64(7), got.Sequence)
	require.Equal(t, sent.Envelope.RoomKeys, got.Rooms)
	require.NotNil(t, got.Envelope)
	require.Equal(t, sent.XID, got.Envelope.XID)
	want, err := json.Marshal(sent.Envelope)
	require.NoError(t, err)
	have, err := json.Marshal(got.Envelope.Envelope)
	require.NoError(t, err)
	require.Equal(t, string(want), string(have))
}

func keepOrder(t *testing.T, d Driver) {
	t.Helper()
	buses := cluster(t, d, 2)
	hints := collect(t, buses[1])
	const n = 2000
	for i := range n {
		buses[0].Publish([]event.Stored{Event("a:1", int64(i+1), `{"pad":"`+strings.Repeat("x", i%900)+`"}`)})
	}
	for i := range n {
		require.Equal(t, int64(i+1), Receive(t, hints).Sequence)
	}
	require.Zero(t, buses[0].Health().Dropped)
}

func large(t *testing.T, d Driver) {
	t.Helper()
	buses := cluster(t, d, 2)
	hints := collect(t, buses[1])
	size := d.MaxEnvelope
	if size == 0 {
		size = 1 << 20
	}
	rooms := make([]string, size/8) // too many for one message where envelopes stay at home
	for i := range rooms {
		rooms[i] = fmt.Sprintf("task:%d", i)
	}
	crowded := Event("a:1", 2, `{}`)
	crowded.Envelope.RoomKeys = rooms
	buses[0].Publish([]event.Stored{Event("a:1", 1, `{"pad":"`+strings.Repeat("x", size)+`"}`), crowded, Event("a:1", 3, `{}`)})
	first := Receive(t, hints)
	require.Equal(t, int64(1), first.Sequence)
	require.Equal(t, []string{"a:1", "studio"}, first.Rooms)
	require.Equal(t, d.MaxEnvelope > 0, first.Envelope == nil)
	second := Receive(t, hints)
	require.Equal(t, int64(2), second.Sequence)
	require.Equal(t, d.MaxEnvelope > 0, second.Envelope == nil)
	third := Receive(t, hints)
	require.Equal(t, int64(3), third.Sequence)
	require.NotNil(t, third.Envelope)
}

func localFirst(t *testing.T, d Driver) {
	t.Helper()
	b := cluster(t, d, 1)[0]
	hints := collect(t, b)
	sent := []event.Stored{Event("a:1", 1, `{}`)}
	b.Publish(sent)
	require.Len(t, hints, 1, "heard before Publish returned")
	require.Same(t, &sent[0], (<-hints).Envelope, "not a copy")
}

func cancelled(t *testing.T, d Driver) {
	t.Helper()
	b := cluster(t, d, 1)[0]
	hints := collect(t, b)
	cancel := b.Subscribe(func(bus.Hint) { panic("was cancelled") })
	cancel()
	cancelSignal := b.OnSignal("t", func(string) { panic("was cancelled") })
	cancelSignal()
	b.Signal("t", "k")
	b.Publish([]event.Stored{Event("a:1", 1, `{}`)})
	Receive(t, hints)
}

func signals(t *testing.T, d Driver) {
	t.Helper()
	buses := cluster(t, d, 2)
	here, there, other := make(chan string, 10), make(chan string, 10), make(chan string, 10)
	t.Cleanup(buses[0].OnSignal("cancel", func(key string) { here <- key }))
	t.Cleanup(buses[1].OnSignal("cancel", func(key string) { there <- key }))
	t.Cleanup(buses[1].OnSignal("other", func(key string) { other <- key }))
	buses[0].Signal("cancel", "node_run:7")
	buses[0].Signal("other", "x")
	require.Equal(t, "node_run:7", Receive(t, here))
	require.Equal(t, "node_run:7", Receive(t, there))
	require.Equal(t, "x", Receive(t, other))
	require.Empty(t, here)
	require.Empty(t, there)
}

func idle(t *testing.T, d Driver) {
	t.Helper()
	b := d.Cluster(t, 1)[0]
	flood := func() {
		for i := range 10000 {
			b.Publish([]event.Stored{Event("a:1", int64(i+1), `{}`)})
			b.Signal("t", "k")
		}
	}
	flood()
	stop := start(t, b)
	stop()
	flood()
	require.Equal(t, int64(20000), b.Health().Published)
}

func health(t *testing.T, d Driver) {
	t.Helper()
	b := d.Cluster(t, 1)[0]
	require.False(t, b.Health().OK)
	require.NotEmpty(t, b.Health().Reason)
	stop := start(t, b)
	require.True(t, b.Health().OK, "%+v", b.Health())
	stop()
	require.False(t, b.Health().OK)
}
