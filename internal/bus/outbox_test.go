package bus

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
)

func outgoingOf(from, n int) []outgoing {
	out := make([]outgoing, n)
	for i := range out {
		out[i].hint = Hint{Stream: "a:1", Sequence: int64(from + i)}
	}
	return out
}

func TestOutboxKeepsOrderWithinItsLimit(t *testing.T) {
	t.Parallel()
	o := newOutbox(5)
	require.True(t, o.empty())
	require.Zero(t, o.add(outgoingOf(1, 3)...))
	require.Equal(t, 2, o.add(outgoingOf(4, 4)...), "two of four fit")
	require.Equal(t, outgoingOf(1, 4), o.take(4))
	select {
	case <-o.ready:
	default:
		t.Fatal("one is left and nobody is told")
	}
	require.Equal(t, outgoingOf(5, 1), o.take(4))
	require.True(t, o.empty())
	require.Empty(t, o.take(4), "a token may be older than what it was for")
}

// TestHintsOfATransactionLeaveTogether: the sender is woken once, when all of them are there.
func TestHintsOfATransactionLeaveTogether(t *testing.T) {
	t.Parallel()
	r := newRelay("test", Options{}.withDefaults(), nil, limits{message: maxRedisMessage, hint: maxRedisHint})
	events := make([]event.Stored, 40)
	for i := range events {
		events[i] = event.Stored{Envelope: event.Envelope{SequenceStream: "a:1", Sequence: int64(i + 1), Payload: []byte(`{}`), Runtime: []byte(`null`)}}
	}
	r.Publish(events)
	<-r.outbox.ready
	payloads, n := r.batch(t.Context())
	require.Equal(t, 40, n)
	require.Len(t, payloads, 1)
}

// TestHintsNobodyWantsAreCountedAndNotRead: of a message whose hints cannot be read, signals and number still
// come through where nobody takes hints.
func TestHintsNobodyWantsAreCountedAndNotRead(t *testing.T) {
	t.Parallel()
	r := newRelay("test", Options{}.withDefaults(), nil, limits{message: maxPayload, hint: maxPayload - overhead})
	var keys []string
	r.OnSignal("cancel", func(key string) { keys = append(keys, key) })
	foreign := `{"o":"other","h":[{"s":"a:1","n":"not a number"},{"s":"a:1","n":2}],"s":[{"t":"cancel","k":"7"}]}`
	r.handle(foreign)
	require.Equal(t, []string{"7"}, keys)
	require.EqualValues(t, 2, r.Health().Received)
	require.Zero(t, r.Health().Undecodable)

	cancel := r.Subscribe(func(Hint) {})
	r.handle(foreign)
	require.EqualValues(t, 1, r.Health().Undecodable, "who takes hints reads them")
	cancel()
}

// TestOwnMessagesComeBackAsMarkersOnly: what begins as ours is, whoever packed it.
func TestOwnMessagesComeBackAsMarkersOnly(t *testing.T) {
	t.Parallel()
	r := newRelay("test", Options{}.withDefaults(), nil, limits{message: maxPayload, hint: maxPayload - overhead})
	heard := 0
	r.Subscribe(func(Hint) { heard++ })
	r.Publish([]event.Stored{{Envelope: event.Envelope{SequenceStream: "a:1", Sequence: 1, Payload: []byte(`{}`), Runtime: []byte(`null`)}}})
	require.Equal(t, 1, heard, "our own subscribers have it at once")
	payloads, _ := r.batch(t.Context())
	for _, p := range append(payloads, r.marker()) {
		require.True(t, strings.HasPrefix(p, r.signature), p)
		r.handle(p)
	}
	require.Equal(t, 1, heard)
	require.Zero(t, r.Health().Received)
	require.False(t, r.canary.lastHeard().IsZero())
	r.handle(fmt.Sprintf(`{"c":%d, "o":%q}`, 99, r.origin)) // written by another hand
	require.Zero(t, r.Health().Undecodable)
}
