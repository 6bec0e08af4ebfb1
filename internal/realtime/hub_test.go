package realtime_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/realtime"
)

func TestGreetingAndAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.Authorize = allowMost })
	p := newPipe("s1")
	session, err := b.hub.Attach(p, "somebody", "polling")
	require.NoError(t, err)
	c := &client{pipe: p, session: session}
	var hello map[string]any
	require.NoError(t, json.Unmarshal(c.next(t).arg, &hello))
	require.Regexp(t, `^\d{4}-.*Z$`, hello["server_time"])
	delete(hello, "server_time")
	require.Equal(t, map[string]any{"ok": true, "namespace": "/rt", "sid": "s1", "transport": "polling"}, hello)

	c.request(t, "rt.subscribe", m{"rooms": []string{"studio", "task:13", "studio", "task:x", "nonsense", "flowchart_node:3/ask"}})
	var got map[string]any
	require.NoError(t, json.Unmarshal(c.next(t).arg, &got))
	require.Regexp(t, `^\d+:\d+:`, got["position"])
	delete(got, "position")
	delete(got, "server_time")
	require.Equal(t, map[string]any{
		"ok": true, "rooms": []any{"studio", "flowchart_node:3/ask"}, "resync": []any{}, "namespace": "/rt",
		"denied": []any{
			map[string]any{"room": "task:13", "reason": "task.forbidden"},
			map[string]any{"room": "task:x", "reason": "rt.room_unknown"},
			map[string]any{"room": "nonsense", "reason": "rt.room_unknown"},
		},
	}, got)

	c.request(t, "rt.unsubscribe", m{"rooms": []string{"studio", "task:1"}})
	require.Equal(t, []string{"studio"}, c.answer(t).Rooms)

	c.request(t, "rt.health", m{"n": 1})
	var health struct {
		OK      bool
		Metrics realtime.Status
		Echo    map[string]any
	}
	require.NoError(t, json.Unmarshal(c.next(t).arg, &health))
	require.True(t, health.OK)
	require.Equal(t, map[string]any{"n": 1.0}, health.Echo)
	require.Equal(t, int64(1), health.Metrics.Connections)
	require.True(t, health.Metrics.Ready, health.Metrics.Reason)
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	many := make([]string, 501)
	for _, bad := range []struct{ name, arg, reason string }{
		{"rt.subscribe", `{}`, "rt.rooms_missing"},
		{"rt.subscribe", `{"rooms":[]}`, "rt.rooms_missing"},
		{"rt.subscribe", `{"rooms":"studio"}`, "rt.bad_request"},
		{"rt.subscribe", `{"rooms":[1]}`, "rt.bad_request"},
		{"rt.subscribe", `["studio"]`, "rt.bad_request"},
		{"rt.subscribe", `null`, "rt.bad_request"},
		{"rt.subscribe", `{"rooms":["studio"],"position":7}`, "rt.bad_request"},
		{"rt.subscribe", `{"rooms":["studio"],"position":"x"}`, "rt.bad_position"},
		{"rt.subscribe", `{"rooms":["studio"],"position":"0:0:"}`, "rt.bad_position"},
		{"rt.subscribe", `{"rooms":["studio"],"position":"5:7:9"}`, "rt.bad_position"},
		{"rt.subscribe", `{"rooms":["studio"],"after":{"task:1":-1}}`, "rt.bad_after"},
		{"rt.subscribe", `{"rooms":["studio"],"after":{"task:1":1.5}}`, "rt.bad_after"},
		{"rt.subscribe", `{"rooms":["studio"],"after":{"a\u0000b":1}}`, "rt.bad_after"},
		{"rt.subscribe", `{"rooms":["studio"],"after":[1]}`, "rt.bad_request"},
		{"rt.subscribe", `{"rooms":["` + strings.Join(many, `","`) + `"]}`, "rt.too_many_rooms"},
		{"rt.unsubscribe", `{"rooms":5}`, "rt.bad_request"},
		{"rt.unsubscribe", `{}`, "rt.rooms_missing"},
		{"rt.nothing", `{}`, "rt.unknown_event"},
	} {
		c.session.Event(bad.name, []json.RawMessage{json.RawMessage(bad.arg)}, c.ack)
		a := c.answer(t)
		require.False(t, a.OK, bad.arg)
		require.Equal(t, "invalid", a.Error.Code, bad.arg)
		require.Equal(t, bad.reason, a.Error.Reason, bad.arg)
		require.NotEmpty(t, a.Error.Message)
	}
	c.session.Event("rt.subscribe", nil, c.ack)
	require.Equal(t, "rt.bad_request", c.answer(t).Error.Reason)
	c.session.Event("rt.subscribe", nil, nil) // nobody wants to know: nothing breaks
}

func TestHintsAreDeliveredOnceAndInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	require.True(t, c.subscribe(t, m{"rooms": []string{"flowchart_run:1", "flowchart:1", "studio"}}).OK)
	for range 3 {
		b.commitTo(t, []string{"flowchart:1", "studio"}, "flowchart_run:1")
	}
	c.expect(t, "flowchart_run:1", 1, 2, 3)
	c.nothing(t)
	require.Equal(t, int64(3), b.hub.Status().Delivered)
	require.Zero(t, b.hub.Status().FromLog, "the hints were enough")
}

func TestEnvelopeIsTheSameLiveAndReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	at := c.subscribe(t, m{"rooms": []string{"thread:1"}})
	b.commit(t, "thread:1")
	live := c.next(t)
	require.Equal(t, "flowchart:run:updated", live.name)
	again := b.connect(t, "s2")
	again.subscribe(t, m{"rooms": []string{"thread:1"}, "position": at.Position})
	require.Equal(t, string(live.arg), string(again.next(t).arg))
}

func TestLostHintsCostOnlyTheSweep(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) {
		o.Bus = deaf(o.Bus)
		o.SweepInterval = 20 * time.Millisecond
		o.PageEvents = 2 // so that the backlog is read stream by stream
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1", "task:2"}})
	for range 5 {
		b.commit(t, "task:1")
	}
	c.expect(t, "task:1", 1, 2, 3, 4, 5)
	b.commit(t, "task:1", "task:1", "task:1", "task:1", "task:1", "task:2", "task:2", "task:2")
	c.expect(t, "task:1", 6, 7, 8, 9, 10)
	c.expect(t, "task:2", 1, 2, 3)
	c.nothing(t)
}

func TestGapsAreReadFromTheLogAtOnce(t *testing.T) {
	t.Parallel()
	drop := make(chan bool, 10)
	b := setup(t, func(o *realtime.Options) {
		o.Bus = filtered{Bus: o.Bus, through: func(h bus.Hint, hand func(bus.Hint)) {
			if !<-drop {
				hand(h)
				hand(h) // twice
			}
		}}
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	for _, lost := range []bool{false, true, true, false, false} {
		drop <- lost
		b.commit(t, "task:1")
	}
	c.expect(t, "task:1", 1, 2, 3, 4, 5)
	c.nothing(t)
	status := b.hub.Status()
	require.Positive(t, status.Gaps)
	require.Positive(t, status.FromLog)
	require.Positive(t, status.Duplicates)
}

func TestHintWithoutEnvelopeIsReadFromTheLog(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) {
		o.Bus = filtered{Bus: o.Bus, through: func(h bus.Hint, hand func(bus.Hint)) { h.Envelope = nil; hand(h) }}
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1", "task:1")
	c.expect(t, "task:1", 1, 2)
	c.nothing(t)
}

func TestEvictedCursorsDoNotRepeatOrLose(t *testing.T) {
	t.Parallel()
	var late []bus.Hint
	b := setup(t, func(o *realtime.Options) {
		o.SweepInterval, o.CursorIdle = 5*time.Millisecond, time.Nanosecond
		o.Bus = filtered{Bus: o.Bus, through: func(h bus.Hint, hand func(bus.Hint)) { late = append(late, h); hand(h) }}
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1")
	c.expect(t, "task:1", 1)
	require.Eventually(t, func() bool { return b.hub.Status().Streams == 0 }, bustest.Patience, time.Millisecond)
	b.bus.Publish([]event.Stored{*late[0].Envelope}) // the first one once more
	b.commit(t, "task:1")
	c.expect(t, "task:1", 2)
	c.nothing(t)
}

func TestPositionFollowsWhatWasSent(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) {
		o.SweepInterval, o.PositionInterval = 10*time.Millisecond, 10*time.Millisecond
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1")
	c.expect(t, "task:1", 1)
	i := c.next(t)
	require.Equal(t, "rt.position", i.name)
	var told struct{ Position string }
	require.NoError(t, json.Unmarshal(i.arg, &told))

	again := b.connect(t, "s2")
	a := again.subscribe(t, m{"rooms": []string{"task:1"}, "position": told.Position})
	require.True(t, a.OK)
	require.Empty(t, a.Resync)
	b.commit(t, "task:1")
	again.expect(t, "task:1", 2) // and not the first
}

func TestBacklogTooLongMeansResync(t *testing.T) {
	t.Parallel()
	hear := make(chan struct{})
	b := setup(t, func(o *realtime.Options) {
		o.PageEvents, o.SweepEvents = 2, 5
		o.Bus = filtered{Bus: o.Bus, through: func(h bus.Hint, hand func(bus.Hint)) {
			select {
			case <-hear:
				hand(h)
			default:
			}
		}}
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1", "studio"}})
	for range 8 {
		b.commit(t, "task:1")
	}
	close(hear)
	b.commit(t, "task:1") // the hint makes the hub look
	i := c.next(t)
	require.Equal(t, "rt.resync", i.name)
	var told struct {
		Rooms    []string
		Position string
		Reason   string
	}
	require.NoError(t, json.Unmarshal(i.arg, &told))
	require.Equal(t, []string{"studio", "task:1"}, told.Rooms)
	b.commit(t, "task:1")
	c.expect(t, "task:1", 10)
	again := b.connect(t, "s2")
	again.subscribe(t, m{"rooms": []string{"task:1"}, "position": told.Position})
	again.expect(t, "task:1", 10)
}

func TestSlowConnectionIsClosed(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	c.mu.Lock()
	c.limit = 2
	c.mu.Unlock()
	for range 3 {
		b.commit(t, "task:1")
	}
	require.Equal(t, realtime.ReasonSlow, bustest.Receive(t, c.closed))
	require.Equal(t, int64(1), b.hub.Status().SlowCloses)
	require.Zero(t, b.hub.Status().Connections)
	c.session.Detach()
}

// lockLog keeps everyone from reading the log until unlock is called.
func lockLog(t *testing.T, db *postgres.DB) (unlock func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), db.Pool.Config().ConnConfig)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `SET idle_in_transaction_session_timeout = 0; BEGIN; LOCK TABLE event IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	return func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }
}

// waitBlocked waits until n sessions wait for a lock.
func waitBlocked(t *testing.T, db *postgres.DB, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var blocked int
		err := db.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&blocked)
		return err == nil && blocked >= n
	}, bustest.Patience, 5*time.Millisecond)
}

// future makes events that no snapshot shows.
func future(stream string, n int, rooms ...string) []event.Stored {
	out := make([]event.Stored, n)
	for i := range out {
		out[i] = bustest.Event(stream, int64(i+1), `{}`)
		out[i].XID = 1 << 40
		out[i].Envelope.RoomKeys = append(slices.Clone(rooms), stream)
	}
	return out
}

func TestLiveEventsWaitForTheReplay(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	first := b.connect(t, "s0")
	at := first.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1", "task:1")
	first.expect(t, "task:1", 1, 2)

	unlock := lockLog(t, b.db)
	c := b.connect(t, "s1")
	c.request(t, "rt.subscribe", m{"rooms": []string{"task:1", "task:2"}, "position": at.Position})
	waitBlocked(t, b.db, 1)
	b.bus.Publish(future("task:2", 3))
	unlock()
	require.True(t, c.answer(t).OK, "the answer comes first")
	c.expect(t, "task:1", 1, 2)
	c.expect(t, "task:2", 1, 2, 3)
	c.nothing(t)
}

func TestReplayBufferOverflowClosesTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.BufferEvents = 5 })
	at := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"task:9"}})
	unlock := lockLog(t, b.db)
	defer unlock()
	c := b.connect(t, "s1")
	c.request(t, "rt.subscribe", m{"rooms": []string{"task:2"}, "position": at.Position})
	waitBlocked(t, b.db, 1)
	b.bus.Publish(future("task:2", 6))
	require.Equal(t, "rt.closing", c.next(t).name)
	require.Equal(t, realtime.ReasonOverflow, bustest.Receive(t, c.closed))
	require.Equal(t, int64(1), b.hub.Status().Overflows)
}

func TestReplayThatTakesTooLongMeansResync(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.StatementTimeout = 200 * time.Millisecond })
	at := b.connect(t, "s0").subscribe(t, m{"rooms": []string{"task:1"}})
	unlock := lockLog(t, b.db)
	defer unlock()
	c := b.connect(t, "s1")
	a := c.subscribe(t, m{"rooms": []string{"task:1"}, "position": at.Position})
	require.True(t, a.OK)
	require.Equal(t, []string{"task:1"}, a.Resync)
}

func TestSweepsGoOnAfterTheDatabaseComesBack(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) {
		o.StatementTimeout, o.SweepInterval, o.Bus = 50*time.Millisecond, 20*time.Millisecond, deaf(o.Bus)
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.commit(t, "task:1")
	c.expect(t, "task:1", 1)
	unlock := lockLog(t, b.db)
	// Something must have changed for the sweep to read.
	_, err := b.db.Exec(t.Context(), `CREATE TABLE anything (); SELECT pg_current_xact_id()`)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return b.hub.Status().SweepErrors > 0 }, bustest.Patience, 5*time.Millisecond)
	require.Eventually(t, func() bool { ok, why := b.hub.Health(); return !ok && strings.Contains(why, "not been read") },
		bustest.Patience, 5*time.Millisecond)
	unlock()
	b.commit(t, "task:1")
	c.expect(t, "task:1", 2)
	require.Eventually(t, func() bool { ok, _ := b.hub.Health(); return ok }, bustest.Patience, 5*time.Millisecond)
}

func TestRequestsWaitInABoundedLine(t *testing.T) {
	t.Parallel()
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	b := setup(t, func(o *realtime.Options) {
		o.Queue = 3
		o.Authorize = func(context.Context, any, string) error { entered <- struct{}{}; <-gate; return nil }
	})
	c := b.connect(t, "s1")
	c.request(t, "rt.subscribe", m{"rooms": []string{"task:1"}})
	bustest.Receive(t, entered)
	for i := range 5 {
		c.request(t, "rt.subscribe", m{"rooms": []string{fmt.Sprintf("task:%d", i+2)}})
	}
	for range 2 {
		require.Equal(t, "rt.busy", c.answer(t).Error.Reason)
	}
	close(gate)
	for i := range 4 {
		require.Equal(t, []string{fmt.Sprintf("task:%d", i+1)}, c.answer(t).Rooms)
	}
}

func TestRoomsPerConnectionAreLimited(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.Rooms = 2 })
	c := b.connect(t, "s1")
	a := c.subscribe(t, m{"rooms": []string{"task:1", "task:2", "task:3"}})
	require.Equal(t, []string{"task:1", "task:2"}, a.Rooms)
	require.Equal(t, []struct{ Room, Reason string }{{"task:3", "rt.too_many_rooms"}}, a.Denied)
	require.Equal(t, []string{"task:2"}, c.subscribe(t, m{"rooms": []string{"task:2"}}).Rooms)
}

func TestShutdownSaysGoodbye(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.end()
	i := c.next(t)
	require.Equal(t, "rt.closing", i.name)
	require.JSONEq(t, `{"reason":"shutdown","reconnect":true}`, string(i.arg))
	require.Equal(t, realtime.ReasonShutdown, bustest.Receive(t, c.closed))
	c.request(t, "rt.subscribe", m{"rooms": []string{"task:1"}})
	require.Equal(t, "rt.shutdown", c.answer(t).Error.Reason)
	_, err := b.hub.Attach(newPipe("s2"), nil, "websocket")
	require.Error(t, err)
	ok, _ := b.hub.Health()
	require.False(t, ok)
	c.session.Detach()
	require.Error(t, b.hub.Run(t.Context(), func() {}), "a hub runs once")
}

func TestEndClosesTheSessionsGiven(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	p := newPipe("s1")
	leaves, err := b.hub.Attach(p, "leaver", "websocket")
	require.NoError(t, err)
	stays := b.connect(t, "s2")
	b.hub.End([]*realtime.Session{leaves}, realtime.ReasonRevoked)
	require.Equal(t, realtime.ReasonRevoked, bustest.Receive(t, p.closed))
	stays.nothing(t)
	require.Empty(t, stays.closed)
}

func TestDetachedSessionsGetNothing(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	c, other := b.connect(t, "s1"), b.connect(t, "s2")
	for _, one := range []*client{c, other} {
		one.subscribe(t, m{"rooms": []string{"task:1"}})
	}
	c.session.Detach()
	require.Eventually(t, func() bool { return b.hub.Status().Connections == 1 }, bustest.Patience, time.Millisecond)
	b.commit(t, "task:1")
	other.expect(t, "task:1", 1)
	_, ok := c.take()
	require.False(t, ok)
	other.session.Detach()
	require.Eventually(t, func() bool { s := b.hub.Status(); return s.Connections == 0 && s.Rooms == 0 }, bustest.Patience, time.Millisecond)
}
