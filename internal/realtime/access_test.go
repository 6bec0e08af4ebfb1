package realtime_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/realtime"
)

// byRole lets the demoted hear everything but runs.
func byRole(_ context.Context, principal any, room string) error {
	if principal == "demoted" && room == "flowchart_run:1" {
		return errs.E(errs.Forbidden, "run.forbidden", "Not any more.")
	}
	return nil
}

func TestRoomsThatMayNotBeHeardAnyMoreAreLeft(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.Authorize = byRole })
	c, other := b.connect(t, "s1"), b.connect(t, "s2")
	for _, one := range []*client{c, other} {
		one.subscribe(t, m{"rooms": []string{"flowchart_run:1", "task:1"}})
	}
	b.hub.Reassess([]*realtime.Session{c.session}, "demoted")
	left := c.next(t)
	require.Equal(t, "rt.left", left.name)
	require.JSONEq(t, `{"rooms":[{"room":"flowchart_run:1","reason":"run.forbidden"}]}`, string(left.arg))
	b.commit(t, "flowchart_run:1", "task:1")
	c.expect(t, "task:1", 1)
	other.expect(t, "flowchart_run:1", 1)
	require.Len(t, c.subscribe(t, m{"rooms": []string{"flowchart_run:1"}}).Denied, 1)
}

func TestARightThatIsLostDuringASubscriptionIsNotGiven(t *testing.T) {
	t.Parallel()
	asked, goOn := make(chan struct{}), make(chan struct{})
	b := setup(t, func(o *realtime.Options) {
		o.Authorize = func(ctx context.Context, principal any, room string) error {
			if principal == "somebody" {
				asked <- struct{}{}
				<-goOn
			}
			return byRole(ctx, principal, room)
		}
	})
	c := b.connect(t, "s1")
	c.request(t, "rt.subscribe", m{"rooms": []string{"flowchart_run:1"}})
	bustest.Receive(t, asked)
	b.hub.Reassess([]*realtime.Session{c.session}, "demoted")
	_, err := b.hub.Members(t.Context(), "flowchart_run:1") // the hub has come past Reassess
	require.NoError(t, err)
	close(goOn)
	a := c.answer(t)
	require.False(t, a.OK)
	require.Equal(t, "rt.access_changed", a.Error.Reason)
	members, err := b.hub.Members(t.Context(), "flowchart_run:1")
	require.NoError(t, err)
	require.Empty(t, members)
}

func TestARightThatCannotBeDecidedClosesTheSession(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) {
		o.Authorize = func(_ context.Context, principal any, _ string) error {
			if principal == "unclear" {
				return errs.E(errs.Unavailable, "auth.down", "Ask later.")
			}
			return nil
		}
	})
	c := b.connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	b.hub.Reassess([]*realtime.Session{c.session}, "unclear")
	require.Equal(t, realtime.ReasonAccess, bustest.Receive(t, c.closed))
	require.False(t, realtime.StaysAway(realtime.ReasonAccess))
}

func TestTheHubShowsSessionsRoomsAndFigures(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	one, two := b.connect(t, "s1"), b.connect(t, "s2")
	one.subscribe(t, m{"rooms": []string{"task:1", "studio"}})
	two.subscribe(t, m{"rooms": []string{"studio"}})
	b.commitTo(t, []string{"studio"}, "task:1", "task:1", "task:2")
	one.expect(t, "task:1", 1, 2)
	one.expect(t, "task:2", 1)

	views, err := b.hub.Describe(t.Context(), []*realtime.Session{one.session, two.session}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"studio", "task:1"}, views[0].Rooms)
	streams := map[string]int64{}
	for _, s := range views[0].Streams {
		streams[s.Stream] = s.Cursor
	}
	require.Equal(t, map[string]int64{"task:1": 2, "task:2": 1}, streams)
	require.Equal(t, []string{"studio"}, views[1].Rooms)
	views, err = b.hub.Describe(t.Context(), []*realtime.Session{one.session}, 1)
	require.NoError(t, err)
	require.Len(t, views[0].Streams, 1)

	rooms, all, err := b.hub.FullestRooms(t.Context(), 1)
	require.NoError(t, err)
	require.False(t, all)
	require.Equal(t, []realtime.RoomMembers{{Room: "studio", Members: 2}}, rooms)
	members, err := b.hub.Members(t.Context(), "task:1")
	require.NoError(t, err)
	require.Equal(t, []*realtime.Session{one.session}, members)

	f := b.hub.Figures()
	require.EqualValues(t, 6, f.Latency.Count(), "three events for two receivers")
	require.EqualValues(t, 3, f.FanOut.Count())
	require.EqualValues(t, 3, f.Lag.Count())
	require.InDelta(t, 6, f.FanOut.Sum, 0.01)

	b.end()
	_, err = b.hub.Members(t.Context(), "studio")
	require.True(t, errs.Is(err, errs.Unavailable))
}

func TestQuantilesLieWithinTheirBuckets(t *testing.T) {
	t.Parallel()
	var sum realtime.Histogram
	require.Zero(t, sum.Quantile(.5))
	half := realtime.Histogram{Bounds: []float64{10, 20, 50}, Counts: []uint64{5, 0, 4, 1}, Sum: 200}
	sum = sum.Plus(half).Plus(half)
	sum = sum.Plus(realtime.Histogram{Bounds: []float64{1}, Counts: []uint64{1, 1}}) // of another release
	require.Equal(t, []uint64{5, 0, 4, 1}, half.Counts)
	require.EqualValues(t, 20, sum.Count())
	require.InDelta(t, 10, sum.Quantile(.5), 0.01)
	require.InDelta(t, 50, sum.Quantile(.9), 0.01)
	require.InDelta(t, 50, sum.Quantile(.99), 0.01, "what exceeds the bounds counts as the last")
	require.InDelta(t, 400, sum.Sum, 0.01)
	require.Equal(t, time.Duration(0), time.Duration(sum.Quantile(0)))
}
