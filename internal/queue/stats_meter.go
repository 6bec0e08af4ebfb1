package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/postgres"
)

const (
	// flushEvery is how often a process adds what it has counted. It is one statement
	// then, whatever the number of jobs, and none when nothing happened.
	flushEvery = 2 * time.Second
	// keptFor is for how long minutes are kept.
	keptFor = 24 * time.Hour
	// heldBack bounds what a meter keeps for a database that does not answer: an hour
	// of all queues. What comes then is not counted.
	heldBack = 300
)

// Bounds are the upper bounds of the buckets of waiting and running times, in
// seconds. What is longer goes to one bucket more.
func Bounds() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}
}

// Meter counts what this process does with queues, by minute.
type Meter struct {
	db     *postgres.DB
	log    *slog.Logger
	now    func() time.Time
	bounds []float64

	mu      sync.Mutex
	minutes map[minuteKey]*minuteCounts
}

type minuteKey struct {
	minute int64 // unix
	queue  string
}

type minuteCounts struct {
	enqueued, finished, failed int64
	waited, took               []int64
}

// NewMeter makes a meter; what it counts is written while it runs.
func NewMeter(db *postgres.DB, log *slog.Logger, now func() time.Time) *Meter {
	return &Meter{db: db, log: log, now: now, bounds: Bounds(), minutes: map[minuteKey]*minuteCounts{}}
}

// Enqueued counts jobs that were put into a queue. A nil meter counts nothing.
func (m *Meter) Enqueued(queue string, n int) {
	if m == nil || n == 0 {
		return
	}
	m.add(queue, func(c *minuteCounts) { c.enqueued += int64(n) })
}

// Worked counts an attempt that ended: how long it had waited since it was due, and
// how long it took.
func (m *Meter) Worked(queue string, waited, took time.Duration, failed bool) {
	if m == nil {
		return
	}
	m.add(queue, func(c *minuteCounts) {
		c.finished++
		if failed {
			c.failed++
		}
		c.waited[m.bucket(waited)]++
		c.took[m.bucket(took)]++
	})
}

func (m *Meter) bucket(d time.Duration) int {
	i, _ := slices.BinarySearch(m.bounds, d.Seconds())
	return i
}

func (m *Meter) add(queue string, f func(c *minuteCounts)) {
	key := minuteKey{m.now().Truncate(time.Minute).Unix(), queue}
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.minutes[key]
	if c == nil {
		if len(m.minutes) >= heldBack {
			return
		}
		c = &minuteCounts{waited: make([]int64, len(m.bounds)+1), took: make([]int64, len(m.bounds)+1)}
		m.minutes[key] = c
	}
	f(c)
}

// Name names the service.
func (*Meter) Name() string { return "queue meter" }

// Run writes what was counted until ctx ends, and then the rest.
func (m *Meter) Run(ctx context.Context, ready func()) error {
	ready()
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushEvery)
			defer cancel()
			return m.Flush(last)
		case <-ticker.C:
			if err := m.Flush(ctx); err != nil && ctx.Err() == nil {
				m.log.WarnContext(ctx, "what the queues did could not be written; it is kept and tried again", "error", err)
			}
		}
	}
}

// flushSQL adds counts to the minutes. The rows are locked in one order, whoever adds.
const flushSQL = `
INSERT INTO queue_minute AS q (minute, queue, enqueued, finished, failed, waited, took)
SELECT to_timestamp(($1::bigint[])[i]), ($2::text[])[i], ($3::bigint[])[i], ($4::bigint[])[i], ($5::bigint[])[i],
       ($6::bigint[])[(i - 1) * $8 + 1 : i * $8], ($7::bigint[])[(i - 1) * $8 + 1 : i * $8]
FROM generate_subscripts($1::bigint[], 1) i ORDER BY 1, 2
ON CONFLICT (minute, queue) DO UPDATE SET
  enqueued = q.enqueued + excluded.enqueued, finished = q.finished + excluded.finished, failed = q.failed + excluded.failed,
  waited = (SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY n) FROM unnest(q.waited, excluded.waited) WITH ORDINALITY t(a, b, n)),
  took = (SELECT array_agg(coalesce(a, 0) + coalesce(b, 0) ORDER BY n) FROM unnest(q.took, excluded.took) WITH ORDINALITY t(a, b, n))`

// Flush writes what was counted since the last time. If it fails, the counts stay.
func (m *Meter) Flush(ctx context.Context) error {
	m.mu.Lock()
	taken := m.minutes
	m.minutes = map[minuteKey]*minuteCounts{}
	m.mu.Unlock()
	if len(taken) == 0 {
		return nil
	}
	var minutes, enqueued, finished, failed, waited, took []int64
	var queues []string
	for k, c := range taken {
		minutes, queues = append(minutes, k.minute), append(queues, k.queue)
		enqueued, finished, failed = append(enqueued, c.enqueued), append(finished, c.finished), append(failed, c.failed)
		waited, took = append(waited, c.waited...), append(took, c.took...)
	}
	_, err := m.db.Exec(ctx, flushSQL, minutes, queues, enqueued, finished, failed, waited, took, len(m.bounds)+1)
	if err != nil {
		m.giveBack(taken)
		return fmt.Errorf("add to the minutes of queues: %w", err)
	}
	return m.forget(ctx)
}

func (m *Meter) giveBack(taken map[minuteKey]*minuteCounts) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, c := range taken {
		have := m.minutes[k]
		if have == nil {
			m.minutes[k] = c
			continue
		}
		have.enqueued += c.enqueued
		have.finished += c.finished
		have.failed += c.failed
		for i := range c.waited {
			have.waited[i] += c.waited[i]
			have.took[i] += c.took[i]
		}
	}
}

// forget removes minutes that are too old; the primary key begins with them.
func (m *Meter) forget(ctx context.Context) error {
	if _, err := m.db.Exec(ctx, `DELETE FROM queue_minute WHERE minute < $1`, m.now().Add(-keptFor)); err != nil {
		return fmt.Errorf("forget old minutes of queues: %w", err)
	}
	return nil
}
