package queue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

const (
	// freshEnough is how old figures may be: however many ask, a process queries the
	// database no more often than this.
	freshEnough = time.Second
	// statsTimeout bounds the query.
	statsTimeout = 3 * time.Second
	// CountedJobs is how many jobs of a state are counted; more are "at least so many".
	CountedJobs = 100_000
	// countedDead is the same for what failed.
	countedDead = 1_000
)

// Board reads how queues and workers are doing, and holds them back.
type Board struct {
	db     *postgres.DB
	client *Client
	log    *event.Log // told of changes; nil: nobody is
	now    func() time.Time

	mu   sync.Mutex // held while the figures are read: who comes meanwhile shares them
	seen Snapshot
	err  error // of the last reading
	at   time.Time

	stale atomic.Bool // somebody changed what was seen
}

// NewBoard makes a board.
func NewBoard(db *postgres.DB, client *Client, log *event.Log, now func() time.Time) *Board {
	return &Board{db: db, client: client, log: log, now: now}
}

// Snapshot is the whole picture at one moment, by the database's clock.
type Snapshot struct {
	At      time.Time
	Queues  []Stats // all public names, in their order
	Workers []Worker
	Turns   Turns
}

// Stats are the figures of a queue.
type Stats struct {
	Name string
	// Waiting jobs could be taken now, Scheduled ones later; each is counted up to
	// CountedJobs.
	Waiting, Scheduled int
	WaitingSince       *time.Time // since when the oldest could be taken
	Running            int        // attempts that are held
	Dead               int        // failed node runs and discarded jobs, up to countedDead each
	Discarded          int        // jobs that River gave up, of those
	PausedAt           *time.Time
	PausedBy           string // an address; empty: nobody in particular
	Consumers          int    // live workers that take from it
	DrainingConsumers  int    // live workers that would, but are draining
	Slots, FreeSlots   int    // of the consumers; they share them with their other queues
	Minutes            []Minute
}

// Minute is what a queue did in one minute.
type Minute struct {
	Minute                     time.Time
	Enqueued, Finished, Failed int64
	Waited, Took               []int64
}

// Snapshot gives figures that are at most a second old, or the error of reading them. The slice and what it holds
// must not be changed.
func (b *Board) Snapshot(ctx context.Context) (Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.stale.Swap(false) && !b.at.IsZero() && b.now().Sub(b.at) < freshEnough {
		return b.seen, b.err
	}
	// Others wait for this reading: it does not end with the one who happened to ask first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statsTimeout)
	defer cancel()
	b.seen, b.err = b.read(ctx)
	b.at = b.now()
	return b.seen, b.err
}

// forget has the next one who asks read anew.
func (b *Board) forget() { b.stale.Store(true) }

// depthSQL counts with bounds, each along River's index for fetching.
const depthSQL = `
SELECT q.name, waiting.n, waiting.oldest, scheduled.n, discarded.n, failed.n, p.paused_at, coalesce(u.email, '')
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY q(name, river, place)
CROSS JOIN LATERAL (SELECT count(*)::int n, min(scheduled_at) oldest FROM (
  SELECT scheduled_at FROM river_job WHERE state = 'available' AND queue = q.river ORDER BY priority, scheduled_at LIMIT $3) j) waiting
CROSS JOIN LATERAL (SELECT count(*)::int n FROM (
  SELECT FROM river_job WHERE state IN ('scheduled', 'retryable', 'pending') AND queue = q.river LIMIT $3) j) scheduled
CROSS JOIN LATERAL (SELECT count(*)::int n FROM (
  SELECT FROM river_job WHERE state = 'discarded' AND queue = q.river LIMIT $4) j) discarded
CROSS JOIN LATERAL (SELECT count(*)::int n FROM (
  SELECT FROM node_run WHERE queue = q.name AND error IS NOT NULL AND status = 'failed' LIMIT $4) j) failed
LEFT JOIN queue_pause p ON p.queue = q.name LEFT JOIN app_user u ON u.id = p.app_user_id
ORDER BY q.place`

const minutesSQL = `SELECT queue, minute, enqueued, finished, failed, waited, took FROM queue_minute
WHERE minute > date_trunc('minute', now()) - interval '60 minutes' ORDER BY queue, minute`

func (b *Board) read(ctx context.Context) (Snapshot, error) {
	names := Names()
	rivers := make([]string, len(names))
	for i, n := range names {
		rivers[i] = riverName(n)
	}
	s := Snapshot{}
	batch := &pgx.Batch{}
	batch.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan(&s.At) })
	batch.Queue(depthSQL, names, rivers, CountedJobs+1, countedDead).Query(func(rows pgx.Rows) error {
		var err error
		s.Queues, err = pgx.CollectRows(rows, scanDepth)
		return err
	})
	batch.Queue(turnsSQL, CountedJobs).QueryRow(s.readTurns)
	batch.Queue(minutesSQL).Query(s.addMinutes)
	batch.Queue(workersSQL).Query(func(rows pgx.Rows) error {
		var err error
		s.Workers, err = pgx.CollectRows(rows, scanWorker)
		return err
	})
	batch.Queue(heldSQL, maxHeld, Downloads).Query(s.addHeld)
	if err := b.db.Pool.SendBatch(ctx, batch).Close(); err != nil {
		return Snapshot{}, fmt.Errorf("read the figures of queues: %w", err)
	}
	s.settle()
	return s, nil
}

func scanDepth(row pgx.CollectableRow) (Stats, error) {
	var q Stats
	failed := 0
	err := row.Scan(&q.Name, &q.Waiting, &q.WaitingSince, &q.Scheduled, &q.Discarded, &failed, &q.PausedAt, &q.PausedBy)
	q.Dead = failed + q.Discarded
	return q, err
}

func (s *Snapshot) queue(name string) *Stats {
	for i := range s.Queues {
		if s.Queues[i].Name == name {
			return &s.Queues[i]
		}
	}
	if name == Chat {
		return &s.Turns.Stats
	}
	return nil
}

func (s *Snapshot) addMinutes(rows pgx.Rows) error {
	for rows.Next() {
		var name string
		var m Minute
		if err := rows.Scan(&name, &m.Minute, &m.Enqueued, &m.Finished, &m.Failed, &m.Waited, &m.Took); err != nil {
			return fmt.Errorf("read a minute: %w", err)
		}
		if q := s.queue(name); q != nil {
			q.Minutes = append(q.Minutes, m)
		}
	}
	return rows.Err()
}

// settle fills in what follows from the workers.
func (s *Snapshot) settle() {
	for i := range s.Workers {
		w := &s.Workers[i]
		w.State = w.state(s.At)
		if !w.Live() {
			continue
		}
		if slices.Contains(w.Queues, Default) && w.State != StateDraining && w.State != StateSuspect {
			s.Turns.Consumers++
		}
		for _, name := range w.Queues {
			q := s.queue(name)
			switch {
			case q == nil:
			case w.State == StateDraining:
				q.DrainingConsumers++
			case w.State != StateSuspect:
				q.Consumers++
				q.Slots += w.Slots
				q.FreeSlots += max(w.Slots-len(w.Held), 0)
			}
		}
	}
}

// Slots adds up the slots of live workers, and what is held of them.
func (s *Snapshot) Slots() (total, busy int) {
	for _, w := range s.Workers {
		if w.Live() {
			total += w.Slots
			busy += len(w.Held)
		}
	}
	return total, busy
}

// NoConsumer tells that jobs are there which nobody takes, although nobody paused them.
func (q *Stats) NoConsumer() bool {
	return q.Waiting+q.Scheduled > 0 && q.Consumers == 0
}
