package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

type published struct {
	mu     sync.Mutex
	events []event.Stored
}

func (p *published) Publish(events []event.Stored) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, events...)
}

func TestStreamsAreGaplessUnderConcurrencyAndRollback(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	sent := &published{}
	log := event.NewLog(sent, time.Now)
	var wg sync.WaitGroup
	const writers, each = 6, 30
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := db.InTx(t.Context(), func(_ context.Context, tx *postgres.Tx) error {
					// Both streams in an order of its own: the log sorts them.
					for k := range 2 {
						d := event.Draft{Stream: fmt.Sprint("s", (w+k)%2), Type: "a:b:c", EntityKind: "x", EntityID: "1", Rooms: []string{"studio"}}
						if err := log.Append(tx, d); err != nil {
							return err
						}
					}
					if i%5 == 0 {
						return errors.New("rolled back on purpose")
					}
					return nil
				})
				if i%5 != 0 && err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want := writers * each * 4 / 5
	for _, stream := range []string{"s0", "s1"} {
		rows, err := event.ReadStream(t.Context(), db, stream, 0, 1000)
		require.NoError(t, err)
		require.Len(t, rows, want)
		for i, r := range rows {
			require.Equal(t, int64(i+1), r.Envelope.Sequence)
		}
		head, err := event.ReadHead(t.Context(), db, stream)
		require.NoError(t, err)
		require.Equal(t, event.Head{Last: int64(want), Oldest: 1}, head)
	}
	require.Len(t, sent.events, 2*want, "what was rolled back is not announced")
}

func TestWhatIsReadIsWhatWasAnnounced(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	sent := &published{}
	log := event.NewLog(sent, time.Now)
	ctx := event.WithRequest(t.Context(), "request-1", "correlation-1")
	err := db.InTx(ctx, func(_ context.Context, tx *postgres.Tx) error {
		return log.Append(tx, event.Draft{
			Stream: "s", Type: "a:b:c", EntityKind: "x", EntityID: "1", Rooms: []string{"a:1", "b:2"}, Payload: map[string]any{"z": 1, "a": "<&>"},
		})
	})
	require.NoError(t, err)
	rows, err := event.ReadStream(t.Context(), db, "s", 0, 10)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	announced, err := json.Marshal(sent.events)
	require.NoError(t, err)
	read, err := json.Marshal(rows)
	require.NoError(t, err)
	require.Equal(t, string(announced), string(read))
	require.Equal(t, "request-1", rows[0].Envelope.RequestID)
	require.Equal(t, "correlation-1", rows[0].Envelope.CorrelationID)
}

func TestSnapshotTellsWhatWasVisible(t *testing.T) {
	t.Parallel()
	s, err := event.ParseSnapshot("10:20:12,15")
	require.NoError(t, err)
	for xid, shown := range map[uint64]bool{9: true, 10: true, 12: false, 13: true, 15: false, 19: true, 20: false, 99: false} {
		require.Equal(t, shown, s.Shows(xid), xid)
	}
	require.Equal(t, "10:20:12,15", s.String())
	for _, bad := range []string{"", "1:2", "x:2:", "3:2:", "1:9:5,3", "1:2:a"} {
		_, err := event.ParseSnapshot(bad)
		require.Error(t, err, bad)
	}
}

func FuzzParseSnapshot(f *testing.F) {
	f.Add("10:20:12,15")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := event.ParseSnapshot(text)
		if err != nil {
			return
		}
		again, err := event.ParseSnapshot(s.String())
		require.NoError(t, err)
		require.Equal(t, s.String(), again.String())
	})
}

// TestReadNewLeavesOutWhatIsPassed: neither what a snapshot showed nor what is known up to
// a number.
func TestReadNewLeavesOutWhatIsPassed(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	log := event.NewLog(nil, time.Now)
	add := func(streams ...string) {
		require.NoError(t, db.InTx(t.Context(), func(_ context.Context, tx *postgres.Tx) error {
			for _, s := range streams {
				if err := log.Append(tx, event.Draft{Stream: s, Type: "a:b:c", EntityKind: "x", EntityID: "1", Rooms: []string{"studio"}}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	add("a", "a", "b")
	since, err := event.ReadSnapshot(t.Context(), db)
	require.NoError(t, err)
	add("a", "a", "b", "c", "c")
	var passed event.Passed
	passed.Add("a", 3)
	passed.Add("b", 2)
	passed.Add("unknown", 9)
	names := func(limit int) []string {
		events, err := event.ReadNew(t.Context(), db, since, passed, limit)
		require.NoError(t, err)
		var out []string
		for _, e := range events {
			out = append(out, fmt.Sprint(e.Envelope.SequenceStream, e.Envelope.Sequence))
		}
		return out
	}
	require.Equal(t, []string{"a4", "c1", "c2"}, names(10))
	require.Equal(t, []string{"a4", "c1"}, names(1), "one more than the limit tells that there are more")
	behind, err := event.ReadBehind(t.Context(), db, since, passed)
	require.NoError(t, err)
	require.Equal(t, []event.Behind{{Stream: "a", First: 4, Count: 1}, {Stream: "c", First: 1, Count: 2}}, behind)
	passed = event.Passed{}
	require.Len(t, names(10), 5, "nothing passed: all that the snapshot did not show")
}
