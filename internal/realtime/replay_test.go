package realtime_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/realtime"
)

func TestPositionReplaysWhatItDidNotShow(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.commit(t, "task:1")
	start := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"studio"}})
	b.commitTo(t, []string{"studio"}, "task:2", "task:1", "task:2")
	b.commit(t, "task:3")
	c := b.connect(t, "s1")
	a := c.subscribe(t, m{"rooms": []string{"studio", "task:1"}, "position": start.Position})
	require.Empty(t, a.Resync)
	c.expect(t, "task:1", 2)
	c.expect(t, "task:2", 1, 2)
	b.commit(t, "task:1")
	c.expect(t, "task:1", 3)
	c.nothing(t)
	without := b.connect(t, "s2")
	without.subscribe(t, m{"rooms": []string{"studio", "task:1"}})
	without.nothing(t)
}

func TestPositionDoesNotShowATransactionThatWasRunning(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	tx, err := b.db.Pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO event_stream (name, last_sequence) VALUES ('task:1', 1)`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `INSERT INTO event (stream, sequence, event_id, event_type, entity_kind, entity_id, room_keys, payload, emitted_at)
		VALUES ('task:1', 1, gen_random_uuid(), 'node:task:updated', 'task', '1', '{task:1}', '{}', now())`)
	require.NoError(t, err)
	b.commit(t, "task:2") // a younger transaction that has ended
	start := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"task:1", "task:2"}})
	require.NoError(t, tx.Commit(t.Context()))
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1", "task:2"}, "position": start.Position})
	c.expect(t, "task:1", 1)
	c.nothing(t)
}

func TestAfterReplaysTheStream(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for range 4 {
		b.commitTo(t, []string{"flowchart:1"}, "flowchart_run:1")
	}
	b.commit(t, "task:9", "task:9")
	c := b.connect(t, "s1")
	a := c.subscribe(t, m{"rooms": []string{"flowchart_run:1"}, "after": m{"flowchart_run:1": 2, "task:9": 1}})
	require.Empty(t, a.Resync)
	c.expect(t, "flowchart_run:1", 3, 4)
	c.nothing(t) // task:9 has nothing for the room
	// Who asks for a stream from a number gets it, whatever was sent before.
	c.subscribe(t, m{"rooms": []string{"flowchart_run:1", "flowchart:1"}, "after": m{"flowchart_run:1": 1}})
	c.expect(t, "flowchart_run:1", 2, 3, 4)
	b.commitTo(t, []string{"flowchart:1"}, "flowchart_run:1")
	c.expect(t, "flowchart_run:1", 5)
	c.nothing(t)
}

func TestAfterCountsMoreThanPosition(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	start := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"studio"}})
	for range 3 {
		b.commit(t, "task:1", "task:2")
	}
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1", "task:2"}, "position": start.Position, "after": m{"task:1": 2}})
	c.expect(t, "task:1", 3)
	c.expect(t, "task:2", 1, 2, 3)
	c.nothing(t)
}

func TestANewRoomDoesNotRepeatWhatAnotherBrought(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	start := c.subscribe(t, m{"rooms": []string{"flowchart:1"}})
	b.commitTo(t, []string{"flowchart:1"}, "flowchart_run:1")
	b.commit(t, "flowchart_run:1")
	c.expect(t, "flowchart_run:1", 1)
	c.subscribe(t, m{"rooms": []string{"flowchart_run:1"}, "position": start.Position})
	c.expect(t, "flowchart_run:1", 2)
	c.nothing(t)
	require.True(t, c.subscribe(t, m{"rooms": []string{"flowchart_run:1"}, "position": start.Position}).OK)
	c.nothing(t) // it is in the room already
}

func TestUnprocessedEventsOfOldRoomsComeWithASubscription(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.Bus = deaf(o.Bus) })
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1") // the hub does not know of it
	require.True(t, c.subscribe(t, m{"rooms": []string{"task:2"}}).OK)
	c.expect(t, "task:1", 1)
	c.nothing(t)
}

func TestRemovedEventsMeanResync(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	start := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"studio"}})
	for range 5 {
		b.commitTo(t, []string{"flowchart:1"}, "flowchart_run:1")
	}
	b.commit(t, "task:1")
	var removed uint64
	require.NoError(t, b.db.QueryRow(t.Context(), `SELECT max(xid)::text::bigint FROM event WHERE stream = 'flowchart_run:1' AND sequence <= 3`).Scan(&removed))
	_, err := b.db.Exec(t.Context(), `DELETE FROM event WHERE stream = 'flowchart_run:1' AND sequence <= 3`)
	require.NoError(t, err)
	_, err = b.db.Exec(t.Context(), `UPDATE event_stream SET oldest_sequence = 4 WHERE name = 'flowchart_run:1'`)
	require.NoError(t, err)

	rooms := []string{"flowchart_run:1", "flowchart:1", "task:1"}
	c := b.connect(t, "s1")
	a := c.subscribe(t, m{"rooms": rooms, "after": m{"flowchart_run:1": 2, "task:1": 0}})
	require.Equal(t, []string{"flowchart:1", "flowchart_run:1"}, sorted(a.Resync))
	c.expect(t, "task:1", 1)
	c.nothing(t)
	c = b.connect(t, "s2")
	require.Empty(t, c.subscribe(t, m{"rooms": rooms, "after": m{"flowchart_run:1": 3}}).Resync)
	c.expect(t, "flowchart_run:1", 4, 5)
	require.Equal(t, []string{"flowchart_run:1"}, // ahead of the log: another database
		b.connect(t, "s3").subscribe(t, m{"rooms": rooms[:1], "after": m{"flowchart_run:1": 77}}).Resync)
	require.Equal(t, sorted(rooms), // nothing is left that would tell whose it was
		sorted(b.connect(t, "s4").subscribe(t, m{"rooms": rooms, "after": m{"turn:1": 3}}).Resync))

	require.Empty(t, b.connect(t, "s5").subscribe(t, m{"rooms": rooms, "position": start.Position}).Resync)
	require.NoError(t, realtime.RaiseHorizon(t.Context(), b.db, removed))
	require.NoError(t, realtime.RaiseHorizon(t.Context(), b.db, 1), "it never sinks")
	horizon, err := realtime.ReadHorizon(t.Context(), b.db)
	require.NoError(t, err)
	require.Equal(t, removed, horizon)
	require.Equal(t, sorted(rooms),
		sorted(b.connect(t, "s6").subscribe(t, m{"rooms": rooms, "position": start.Position}).Resync))
	var now event.Snapshot
	require.Eventually(t, func() bool { // transactions of other databases count, too
		now, err = event.ReadSnapshot(t.Context(), b.db)
		return err == nil && now.Xmin() > removed
	}, bustest.Patience, 5*time.Millisecond)
	require.Empty(t, b.connect(t, "s7").subscribe(t, m{"rooms": rooms, "position": now.String()}).Resync)
}

func TestAPositionOfAnotherDatabaseMeansResync(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	a := b.connect(t, "s1").subscribe(t, m{"rooms": []string{"task:1"}, "position": "99999999999:99999999999:"})
	require.True(t, a.OK)
	require.Equal(t, []string{"task:1"}, a.Resync)
}

func TestTooMuchToReplayMeansResync(t *testing.T) {
	t.Parallel()
	for _, limit := range []struct {
		name   string
		change func(*realtime.Options)
	}{
		{"events", func(o *realtime.Options) { o.ReplayEvents = 4 }},
		{"bytes", func(o *realtime.Options) { o.ReplayBytes = 1000 }},
	} {
		t.Run(limit.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, limit.change)
			start := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"task:1"}})
			for range 5 {
				b.commit(t, "task:1")
			}
			for i, arg := range []m{{"position": start.Position}, {"after": m{"task:1": 0}}} {
				c := b.connect(t, fmt.Sprint(i))
				arg["rooms"] = []string{"task:1"}
				require.Equal(t, []string{"task:1"}, c.subscribe(t, arg).Resync)
				c.nothing(t)
			}
			c := b.connect(t, "last")
			require.Empty(t, c.subscribe(t, m{"rooms": []string{"task:1"}, "after": m{"task:1": 3}}).Resync)
			c.expect(t, "task:1", 4, 5)
			b.commit(t, "task:1")
			c.expect(t, "task:1", 6)
		})
	}
}
