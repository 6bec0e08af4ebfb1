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
	// cancelGrace is how long a holder may take to confirm a cancel.
	cancelGrace = 30.0
)

// sweepLock is the advisory lock that lets one process sweep at a time.
const sweepLock = 0x6c6c6d63746c02

// Recoverer is the domain's part of a sweep.
type Recoverer interface {
	Recover(ctx context.Context) (int, error)
	ExpireRuns(ctx context.Context) error
	ForceCancels(ctx context.Context, graceSeconds float64) error
}

// Sweeper finds dead workers and puts right what nobody else does. Every worker
// process runs one.
type Sweeper struct {
	db     *postgres.DB
	client *Client
	domain Recoverer
	log    *slog.Logger
	now    func() time.Time
	watch  observer
}

// NewSweeper makes a sweeper.
func NewSweeper(db *postgres.DB, client *Client, domain Recoverer, log *slog.Logger, now func() time.Time) *Sweeper {
	return &Sweeper{db: db, client: client, domain: domain, log: log, now: now, watch: observer{seen: map[uuid.UUID]sighting{}}}
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

// Sweep does one round: observe, bury the dead, and, in one process at a time,
// recover what they held, expire runs, force overdue cancels and replace lost
// jobs.
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

func (s *Sweeper) recover(ctx context.Context) error {
	n, err := s.domain.Recover(ctx)
	if n > 0 {
		s.log.InfoContext(ctx, "took up work of dead workers", "attempts", n)
	}
	again, errJobs := s.client.Reinsert(ctx)
	if again > 0 {
		s.log.InfoContext(ctx, "replaced lost jobs", "jobs", again)
	}
	return errors.Join(err, errJobs, s.domain.ExpireRuns(ctx), s.domain.ForceCancels(ctx, cancelGrace))
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
