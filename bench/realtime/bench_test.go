package realtime

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

const (
	members   = 1000
	atOnce    = 50 // clients that connect at the same time
	pace      = 20 // events a second
	paced     = 5 * time.Second
	burst     = 20 // events at once
	bursts    = 6
	idle      = 4000
	idleClose = 2 * time.Second
)

// tally is CPU time for deliveries, and how long these took.
type tally struct {
	cpu       time.Duration
	delivered int64
	median    []time.Duration
	p99       []time.Duration
}

func (t *tally) perMillion() float64 { return t.cpu.Seconds() / float64(t.delivered) * 1e6 }

type figures struct {
	paced, bursts, rooms tally
	connected            int
	connecting, greeting time.Duration // on the clock, and of the server's CPU time
	perIdle              float64
}

// BenchmarkPeers alternates the servers in rounds, so that what else the machine does
// meets all of them.
func BenchmarkPeers(b *testing.B) {
	rounds := 3
	if n, err := strconv.Atoi(os.Getenv("BENCH_REALTIME_ROUNDS")); err == nil {
		rounds = n
	}
	all := contestants(b)
	for b.Loop() {
		for _, c := range all {
			c.measureIdle(b)
		}
		for range rounds {
			for _, c := range all {
				c.measure(b, &c.figures.paced, false, func(p *publisher) { p.steadily(order{Room: "all", Count: 1}) })
				c.measure(b, &c.figures.bursts, false, func(p *publisher) { p.inBursts(order{Room: "all", Count: burst}) })
				if c.oneRoom {
					continue
				}
				c.measure(b, &c.figures.rooms, true, func(p *publisher) { p.steadily(order{Rooms: members, Count: 1}) })
			}
		}
	}
	for _, c := range all {
		f := &c.figures
		report := func(value float64, name string) { b.ReportMetric(value, c.name+"-"+name) }
		report(f.paced.perMillion(), "paced-s/M")
		report(f.bursts.perMillion(), "burst-s/M")
		if !c.oneRoom {
			report(f.rooms.perMillion(), "rooms-s/M")
		}
		report(f.perIdle/1000, "idle-kB")
		report(float64(f.connected)/f.connecting.Seconds(), "connects/s")
		report(float64(f.connected)/f.greeting.Seconds(), "connects/cpu-s")
		report(float64(middle(f.paced.median).Microseconds())/1000, "p50-ms")
		report(float64(middle(f.paced.p99).Microseconds())/1000, "p99-ms")
		b.Logf("%-10s paced %5.2f  burst %5.2f  rooms %5.2f s/M   idle %5.1f kB   %6.0f connects/s %6.0f per CPU second   p50/p99 paced %v/%v burst %v/%v", c.name,
			f.paced.perMillion(), f.bursts.perMillion(), f.rooms.perMillion(), f.perIdle/1000, float64(f.connected)/f.connecting.Seconds(), float64(f.connected)/f.greeting.Seconds(),
			middle(f.paced.median), middle(f.paced.p99), middle(f.bursts.median), middle(f.bursts.p99))
	}
}

func middle(list []time.Duration) time.Duration { return percentile(sorted(list), 50) }

// measureIdle takes the memory of connections that are in a room and quiet.
func (c *contestant) measureIdle(b *testing.B) {
	b.Helper()
	if c.spare { // which the first ones use up
		first := c.gather(b, idle, false)
		defer first.leave()
		<-time.After(idleClose)
	}
	before := c.process.memory(b)
	crowd := c.gather(b, idle, false)
	defer crowd.leave()
	<-time.After(idleClose)
	c.figures.perIdle = float64(c.process.memory(b)-before) / idle
}

func (c *contestant) gather(b *testing.B, count int, own bool) *crowd {
	b.Helper()
	before := c.process.cpu(b)
	crowd, took, err := gather(b.Context(), c.address, c.wire, count, atOnce, own)
	require.NoError(b, err, c.name)
	c.figures.connected += count
	c.figures.connecting += took
	c.figures.greeting += c.process.cpu(b) - before
	return crowd
}

// measure connects the members and lets publish ask for events.
func (c *contestant) measure(b *testing.B, t *tally, own bool, publish func(*publisher)) {
	b.Helper()
	crowd := c.gather(b, members, own)
	publishing := c.publish
	if publishing == nil {
		asker := c.asker(b)
		defer func() { _ = asker.conn.Close() }()
		publishing = func(o order) { require.NoError(b, asker.write(ws.OpText, c.wire.publish(o))) }
	}
	<-time.After(300 * time.Millisecond) // what connecting left behind is not counted
	before := c.process.cpu(b)
	p := &publisher{b: b, contestant: c, crowd: crowd, order: publishing}
	publish(p)
	require.NoError(b, crowd.await(b.Context(), p.expected), c.name)
	t.cpu += c.process.cpu(b) - before
	t.delivered += p.expected
	waits := crowd.leave()
	t.median = append(t.median, percentile(waits, 50))
	t.p99 = append(t.p99, percentile(waits, 99))
	<-time.After(200 * time.Millisecond)
}

// asker is a connection to ask for events.
func (c *contestant) asker(b *testing.B) *client {
	b.Helper()
	asker, err := dial(b.Context(), c.address, c.wire, "")
	require.NoError(b, err)
	go func() { // takes heartbeats and answers
		for {
			if _, err := asker.next(); err != nil {
				return
			}
		}
	}()
	return asker
}

// publisher has a server publish events.
type publisher struct {
	b          *testing.B
	contestant *contestant
	crowd      *crowd
	order      func(o order)
	expected   int64
}

func (p *publisher) ask(o order) {
	o.Stamp = int64(time.Since(p.crowd.begun))
	p.expected += int64(o.Count) * members
	p.order(o)
}

func (p *publisher) steadily(o order) {
	ticker := time.NewTicker(time.Second / pace)
	defer ticker.Stop()
	for range int(paced.Seconds() * pace) {
		<-ticker.C
		p.ask(o)
	}
}

func (p *publisher) inBursts(o order) {
	for range bursts {
		p.ask(o)
		require.NoError(p.b, p.crowd.await(p.b.Context(), p.expected), p.contestant.name)
		<-time.After(100 * time.Millisecond)
	}
}
