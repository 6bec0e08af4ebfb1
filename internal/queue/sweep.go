package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

const (
	sweepEvery = 2 * time.Second
	// deadAfter is how long a counter must stand still under the observer's own
	// uninterrupted polls.
	deadAfter = 10 * time.Second
	// dueBatch bounds how many jobs one sweep replaces; the next one goes on.
	dueBatch = 200
)

// sweepLock is the advisory lock that lets one process sweep at a time.
const sweepLock = 0x6c6c6d63746c02

// Domain is what a sweep needs of those whose rows jobs point at.
type Domain interface {
	// Recover takes up the work of dead workers (those with a tombstone and those that
	// stopped), bounded; it returns how much that was.
	Recover(ctx context.Context) (int, error)
	// Due lists rows that are due for some seconds and that nobody works, the oldest
	// first, bounded. Those among them that have a job are left out by the sweep.
	Due(ctx context.Context) ([]Pointer, error)
}

// Sweeper finds dead workers and puts right what nobody else does. Every worker
// process runs one.
type Sweeper struct {
	db      *postgres.DB
	client  *Client
	domains []Domain
	log     *slog.Logger
	now     func() time.Time
	watch   observer
}

// NewSweeper makes a sweeper.
func NewSweeper(db *postgres.DB, client *Client, domains []Domain, log *slog.Logger, now func() time.Time) *Sweeper {
	return &Sweeper{db: db, client: client, domains: domains, log: log, now: now, watch: observer{seen: map[uuid.UUID]sighting{}}}
}

// Name names the service.
func (s *Sweeper) Name() string { return "recovery sweep" }

// Run sweeps until ctx ends; the first sweep is at once.
func (s *Sweeper) Run(ctx context.Context, ready func()) error {
	ready()
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "sweep incomplete", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Sweep does one round: observe, bury the dead, and, in one process at a time, have
// each domain recover what they held, and replace lost jobs.
func (s *Sweeper) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.bury(ctx); err != nil {
		s.watch.reset() // an interrupted watch proves nothing
		return err
	}
	conn, err := s.db.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	var mine bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, sweepLock).Scan(&mine); err != nil {
		return fmt.Errorf("lock sweep: %w", err)
	}
	if !mine {
		return nil
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, sweepLock) }()
	return s.recover(ctx)
}

// recover does it for each domain; one that fails does not keep back the others.
func (s *Sweeper) recover(ctx context.Context) error {
	var failures []error
	for _, d := range s.domains {
		n, err := d.Recover(ctx)
		if n > 0 {
			s.log.InfoContext(ctx, "took up work of dead workers", "attempts", n)
		}
		again, errJobs := s.replaceLost(ctx, d)
		if again > 0 {
			s.log.InfoContext(ctx, "replaced lost jobs", "jobs", again)
		}
		failures = append(failures, err, errJobs)
	}
	return errors.Join(failures...)
}

// withoutJobSQL gives the positions of the pointers that no job is going to follow.
const withoutJobSQL = `
SELECT p.position FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS p (kind, id, position)
WHERE NOT EXISTS (SELECT FROM river_job j
                  WHERE j.kind = p.kind AND j.state IN ('available', 'scheduled', 'retryable')
                    AND j.args @> jsonb_build_object('id', p.id))
ORDER BY p.position LIMIT $3`

// replaceLost gives due rows without a job a new one; it returns how many. A
// doubled job is harmless, a missing one is not.
func (s *Sweeper) replaceLost(ctx context.Context, d Domain) (int, error) {
	due, err := d.Due(ctx)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	kinds, ids := make([]string, len(due)), make([]int64, len(due))
	for i, p := range due {
		kinds[i], ids[i] = p.Kind, p.ID
	}
	n := 0
	err = s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		rows, err := tx.Query(ctx, withoutJobSQL, kinds, ids, dueBatch)
		if err != nil {
			return fmt.Errorf("find rows without a job: %w", err)
		}
		positions, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			return fmt.Errorf("find rows without a job: %w", err)
		}
		lost := make([]Pointer, 0, len(positions))
		for _, position := range positions {
			p := due[position-1]
			if err := p.check(); err != nil { // must not keep back the others
				s.log.ErrorContext(ctx, "a due row cannot have a job", "kind", p.Kind, "id", p.ID, "error", err)
				continue
			}
			lost = append(lost, p)
		}
		n = len(lost)
		return s.client.Insert(ctx, tx, lost)
	})
	return n, err
}

// bury tombstones the workers whose counter stood still for too long. The
// compare on the counter lets a worker that beat just now live.
func (s *Sweeper) bury(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT id, beat FROM worker_process WHERE stopped_at IS NULL AND tombstone_at IS NULL`)
	if err != nil {
		return fmt.Errorf("poll beats: %w", err)
	}
	beats, err := pgx.CollectRows(rows, pgx.RowToStructByPos[beat])
	if err != nil {
		return fmt.Errorf("poll beats: %w", err)
	}
	for _, dead := range s.watch.observe(s.now(), beats) {
		tag, err := s.db.Exec(ctx, `UPDATE worker_process SET tombstone_at = now()
			WHERE id = $1 AND beat = $2 AND tombstone_at IS NULL AND stopped_at IS NULL`, dead.ID, dead.Count)
		if err != nil {
			return fmt.Errorf("tombstone worker: %w", err)
		}
		if tag.RowsAffected() > 0 {
			s.log.WarnContext(ctx, "worker declared dead", "worker_id", dead.ID)
		}
	}
	return nil
}

type beat struct {
	ID    uuid.UUID
	Count int64
}

type sighting struct {
	count int64
	since time.Time
}

// observer remembers since when each counter has stood still.
type observer struct {
	seen map[uuid.UUID]sighting
	last time.Time
}

func (o *observer) reset() { clear(o.seen) }

// observe takes a successful poll and gives the workers that are dead. A pause
// between polls (this process slept or was starved) starts the watch anew.
func (o *observer) observe(now time.Time, beats []beat) []beat {
	if now.Sub(o.last) > 3*sweepEvery {
		o.reset()
	}
	o.last = now
	current := make(map[uuid.UUID]sighting, len(beats))
	var dead []beat
	for _, b := range beats {
		s, known := o.seen[b.ID]
		if !known || s.count != b.Count {
			s = sighting{count: b.Count, since: now}
		}
		current[b.ID] = s
		if now.Sub(s.since) >= deadAfter {
			dead = append(dead, b)
		}
	}
	o.seen = current
	return dead
}
