package realtime_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/realtime"
	"github.com/llmctl/studio/internal/redisconn"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// redisBus notices trouble within a second.
func redisBus(t *testing.T, url string) *bus.Redis {
	t.Helper()
	address, err := redisconn.Parse(url)
	require.NoError(t, err)
	b := bus.NewRedis(address, bus.RedisOptions{
		CanaryEvery: 50 * time.Millisecond, CanaryPatience: 300 * time.Millisecond,
		SendTimeout: 200 * time.Millisecond, Backoff: 10 * time.Millisecond,
	})
	bustest.Start(t, b)
	return b
}

func TestTwoHubsOverRedisNeedNoSweep(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	address, err := redisconn.Parse(redistest.URL(t))
	require.NoError(t, err)
	var bundles []*bundle
	for range 2 {
		// Nobody harms this Redis: a bus that takes a busy machine for trouble would subscribe anew, and have the log read.
		b := bus.NewRedis(address, bus.RedisOptions{})
		bustest.Start(t, b)
		hub, _ := startHub(t, realtime.Options{DB: db, Bus: b, Encode: encode, Authorize: allowAll, SweepInterval: time.Hour})
		bundles = append(bundles, &bundle{db: db, bus: b, hub: hub, log: event.NewLog(b, time.Now)})
	}
	c := bundles[1].connect(t, "s1")
	c.subscribe(t, m{"rooms": []string{"task:1"}})
	for i := range 20 {
		bundles[0].commit(t, "task:1")
		c.expect(t, "task:1", int64(i+1))
	}
	require.Zero(t, bundles[1].hub.Status().FromLog)
}

// TestChaosOverRedisThatIsHarmed is the chaos test with a Redis that is killed,
// started again, frozen, thawed and flushed all the while.
func TestChaosOverRedisThatIsHarmed(t *testing.T) {
	t.Parallel()
	db, s := pgtest.DB(t), redistest.Start(t)
	var nodes []node
	var buses []*bus.Redis
	for i := range 2 {
		b := redisBus(t, s.URL())
		buses = append(buses, b)
		nodes = append(nodes, startNode(t, db, b, chaotic(b, uint64(i+7))))
	}
	ctx, cancel := context.WithCancel(t.Context())
	harmed := make(chan map[string]int, 1)
	go func() { harmed <- harm(ctx, t, s) }()
	chaos(t, db, nodes)
	cancel()
	did := <-harmed
	t.Logf("harm done: %v", did)
	require.Positive(t, did["killed"]+did["frozen"])
	for _, b := range buses { // it has come back by itself
		require.Eventually(t, func() bool { return b.Health().OK }, bustest.Patience, 5*time.Millisecond, "%+v", b.Health())
	}
}

// harm harms the server until ctx ends, and leaves it whole.
func harm(ctx context.Context, t *testing.T, s *redistest.Server) map[string]int {
	t.Helper()
	random, done := rand.New(rand.NewPCG(1, 4)), map[string]int{}
	client := s.Client(t)
	for ctx.Err() == nil {
		switch random.IntN(3) {
		case 0:
			s.Kill(t)
			rest(ctx, random)
			s.Restart(t)
			done["killed"]++
		case 1:
			s.Freeze(t)
			rest(ctx, random)
			s.Thaw(t)
			done["frozen"]++
		default:
			if client.FlushAll(ctx).Err() == nil {
				done["flushed"]++
			}
		}
		rest(ctx, random)
	}
	return done
}

// rest lasts up to a second, so that some harm is noticed and some is not.
func rest(ctx context.Context, random *rand.Rand) {
	select {
	case <-time.After(time.Duration(random.IntN(1000)) * time.Millisecond):
	case <-ctx.Done():
	}
}

// TestDelayWithoutRedisIsBoundedByTheSweep: while Redis is away, and after it has
// come back, nothing is late by more than the sweeps' interval.
func TestDelayWithoutRedisIsBoundedByTheSweep(t *testing.T) {
	t.Parallel()
	const interval = 300 * time.Millisecond
	const slack = 2 * time.Second // for a busy machine; hours pass without a sweep
	for name, harm := range map[string]func(t *testing.T, s *redistest.Server) (undo func()){
		"killed": func(t *testing.T, s *redistest.Server) func() { t.Helper(); s.Kill(t); return func() { s.Restart(t) } },
		"frozen": func(t *testing.T, s *redistest.Server) func() { t.Helper(); s.Freeze(t); return func() { s.Thaw(t) } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, s := pgtest.DB(t), redistest.Start(t)
			var bundles []*bundle
			for range 2 {
				b := redisBus(t, s.URL())
				hub, _ := startHub(t, realtime.Options{DB: db, Bus: b, Encode: encode, Authorize: allowAll, SweepInterval: interval})
				bundles = append(bundles, &bundle{db: db, bus: b, hub: hub, log: event.NewLog(b, time.Now)})
			}
			c := bundles[1].connect(t, "s1")
			c.subscribe(t, m{"rooms": []string{"task:1"}})
			undo := harm(t, s)
			sequence := int64(0)
			commit := func() {
				bundles[0].commit(t, "task:1")
				began := time.Now()
				sequence++
				c.expect(t, "task:1", sequence)
				require.Less(t, time.Since(began), interval+slack)
			}
			for range 5 {
				commit()
			}
			require.Eventually(t, func() bool { ready, _ := bundles[1].hub.Health(); return !ready }, bustest.Patience, time.Millisecond)
			_, reason := bundles[1].hub.Health()
			require.Contains(t, reason, "bus: ")
			undo()
			require.Eventually(t, func() bool { ready, _ := bundles[1].hub.Health(); return ready }, bustest.Patience, time.Millisecond)
			commit()
		})
	}
}

// roomy notes the rooms that the hub tells of.
type roomy struct {
	*pipe
	told chan string
}

func (r roomy) Joined(room string) { r.told <- "+" + room }
func (r roomy) Left(room string)   { r.told <- "-" + room }

func TestAMemberIsToldOfItsRooms(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *realtime.Options) { o.Authorize = allowMost })
	conn := roomy{newPipe("s1"), make(chan string, 10)}
	session, err := b.hub.Attach(conn, "somebody", "websocket")
	require.NoError(t, err)
	c := &client{pipe: conn.pipe, session: session}
	require.Equal(t, "rt.connected", c.next(t).name)
	c.subscribe(t, m{"rooms": []string{"task:1", "task:13", "task:2"}})
	require.Equal(t, "+task:1", bustest.Receive(t, conn.told))
	require.Equal(t, "+task:2", bustest.Receive(t, conn.told), "and not the one that was denied")
	c.request(t, "rt.unsubscribe", m{"rooms": []string{"task:1"}})
	require.Equal(t, "-task:1", bustest.Receive(t, conn.told))
	session.Detach()
	require.Equal(t, "-task:2", bustest.Receive(t, conn.told))
}
