package bus_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/bus"
	"github.com/llmctl/studio/internal/bus/bustest"
	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/redisconn"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/redistest"
)

// BenchmarkHints measures hints with envelopes of about a kilobyte from one process
// to another: as fast as they go, and the time each takes at 500 a second.
func BenchmarkHints(b *testing.B) {
	address, err := redisconn.Parse(redistest.URL(b))
	require.NoError(b, err)
	db := pgtest.DB(b)
	for _, driver := range []struct {
		name string
		make func() bus.Bus
	}{
		{"postgres", func() bus.Bus { return bus.NewPostgres(db, bus.PostgresOptions{}) }},
		{"redis", func() bus.Bus { return bus.NewRedis(address, bus.RedisOptions{}) }},
	} {
		b.Run(driver.name, func(b *testing.B) {
			from, to := driver.make(), driver.make()
			bustest.Start(b, from)
			bustest.Start(b, to)
			heard := make(chan time.Time, 4096)
			b.Cleanup(to.Subscribe(func(bus.Hint) { heard <- time.Now() }))
			sequence := int64(0)
			publish := func() { // hints that differ, for Postgres delivers equal ones once
				sequence++
				from.Publish([]event.Stored{bustest.Event("a:1", sequence, `{"text":"`+strings.Repeat("x", 600)+`"}`)})
			}
			for b.Loop() {
				const burst = 1000 // fits into the queue
				for range burst {
					publish()
				}
				for range burst {
					next(b, heard, from)
				}
			}
			b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "hints/s")
			report(b, from, heard, publish)
		})
	}
}

func report(b *testing.B, from bus.Bus, heard <-chan time.Time, publish func()) {
	b.Helper()
	b.StopTimer()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	took := make([]time.Duration, 500)
	for i := range took {
		<-tick.C
		began := time.Now()
		publish()
		took[i] = next(b, heard, from).Sub(began)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs-p99")
}

func next(b *testing.B, heard <-chan time.Time, from bus.Bus) time.Time {
	b.Helper()
	select {
	case at := <-heard:
		return at
	case <-time.After(bustest.Patience):
		require.FailNow(b, "a hint was lost", "%+v", from.Health())
		panic("unreachable")
	}
}
