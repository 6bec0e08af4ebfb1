package chaos

import (
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recovered is how long work may be without a worker, at the 99th percentile.
const recovered = 20 * time.Second

// Three workers and two schedulers are killed and frozen while runs come in.
//
//nolint:paralleltest // it measures how long recovery takes
func TestWorkOutlivesItsWorkers(t *testing.T) {
	z, llm := chaosSize(), newModel(t)
	s := newStudio(t, 3, 2)
	chart := s.flowchart(llm)
	accepted := make(chan []int64, 1)
	go func() { accepted <- s.load(chart, z) }()
	harms := s.harass(z)
	ids := <-accepted
	db := s.db.pool()
	states := s.allEnded(db, ids)
	s.noneFailedBut(db, "lost")
	s.noNodeTwice(db, llm)
	s.streamsWhole(db)
	lost := s.recoveries(db, harms)
	t.Logf("%d runs: %v; %d harms; %d attempts lost, recovered after p50 %s, p99 %s, at most %s",
		len(ids), states, len(harms), len(lost), quantile(lost, 0.5), quantile(lost, 0.99), quantile(lost, 1))
	require.LessOrEqual(t, quantile(lost, 0.99), recovered)
}

// harass harms one process after the other; at least one worker is always left alone.
func (s *studio) harass(z size) []harm {
	var harms []harm
	var thaws sync.WaitGroup
	defer thaws.Wait()
	team := append(append([]*member{}, s.workers...), s.beats...)
	ticker := time.NewTicker(z.harmEvery)
	defer ticker.Stop()
	for until := time.Now().Add(z.lasts); time.Now().Before(until); {
		<-ticker.C
		victim := team[rand.IntN(len(team))]
		if victim.isFrozen() {
			continue
		}
		if rand.IntN(2) == 0 || s.awake() < 2 {
			harms = append(harms, harm{at: time.Now(), kind: "killed", pid: victim.signal(syscall.SIGKILL)})
			continue
		}
		harms = append(harms, harm{at: time.Now(), kind: "frozen", pid: victim.signal(syscall.SIGSTOP)})
		// Some thaw before anybody has noticed, some long after they were given up.
		thaw := time.Duration(1000+rand.IntN(15_000)) * time.Millisecond
		thaws.Go(func() {
			<-time.After(thaw)
			victim.signal(syscall.SIGCONT)
		})
	}
	return harms
}

func (s *studio) awake() int {
	n := 0
	for _, w := range s.workers {
		if !w.isFrozen() {
			n++
		}
	}
	return n
}

// The database is restarted, once as by a power cut, and all connections are cut
// again and again. Nobody is declared dead for it, and everything goes on by itself.
//
//nolint:paralleltest // it restarts the database that it works on
func TestWorkOutlivesTheDatabase(t *testing.T) {
	z, llm := chaosSize(), newModel(t)
	s := newStudio(t, 3, 2)
	chart := s.flowchart(llm)
	accepted := make(chan []int64, 1)
	go func() { accepted <- s.load(chart, z) }()
	ticker := time.NewTicker(z.lasts / time.Duration(z.restarts+z.cuts+1))
	defer ticker.Stop()
	for i := range z.restarts + z.cuts {
		<-ticker.C
		switch every := (z.restarts + z.cuts) / z.restarts; {
		case i%every != every-1:
			s.db.cut()
		case i == every-1:
			s.db.crash()
			s.db.start()
		default:
			s.db.stop()
			s.db.start()
		}
	}
	ids := <-accepted
	db := s.db.pool()
	states := s.allEnded(db, ids)
	s.noneFailedBut(db, "")
	s.noNodeTwice(db, llm)
	s.streamsWhole(db)
	var dead int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM worker_process WHERE tombstone_at IS NOT NULL`).Scan(&dead))
	require.Zero(t, dead, "workers that were declared dead although only the database was away")
	s.awaitReady()
	t.Logf("%d runs: %v", len(ids), states)
}
