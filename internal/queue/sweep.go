package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

const (
	sweepEvery = 2 * time.Second
	// deadAfter is how long a counter must stand still under an unbroken watch.
	deadAfter = 10 * time.Second
	// watchGap is the longest pause between two looks of an unbroken watch.
	watchGap = 3 * sweepEvery
	// turn is how long the process whose turn it is to sweep keeps others from doing
	// the same work. One that dies or freezes loses it.
	turn = 2 * sweepEvery
	// dueBatch bounds how many jobs one sweep replaces; the next one goes on.
	dueBatch = 200
)

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
	watch   watch
	buried  atomic.Uint64
}

// NewSweeper makes a sweeper.
func NewSweeper(db *postgres.DB, client *Client, domains []Domain, log *slog.Logger) *Sweeper {
	return &Sweeper{db: db, client: client, domains: domains, log: log, watch: watch{db: db, me: uuid.New()}}
}

// Buried counts the workers that this process declared dead.
func (s *Sweeper) Buried() uint64 { return s.buried.Load() }

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

// Sweep does one round: look at the beats, bury the dead, and have each domain recover
// what they held, and replace lost jobs. One process does the latter for all; whoever
// buried somebody does it at once. Two at a time do no harm: attempts are fenced.
func (s *Sweeper) Sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dead, mine, err := s.watch.look(ctx)
	if err != nil {
		return err
	}
	buried, err := s.bury(ctx, dead)
	if err != nil {
		return err
	}
	if !mine && buried == 0 {
		return nil
	}
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

// bury tombstones the workers whose counter stood still for too long; it returns how
// many. The compare on the counter lets a worker that beat just now live.
func (s *Sweeper) bury(ctx context.Context, dead []beat) (int, error) {
	buried := 0
	for _, d := range dead {
		tag, err := s.db.Exec(ctx, `UPDATE worker_process SET tombstone_at = now()
			WHERE id = $1 AND beat = $2 AND tombstone_at IS NULL AND stopped_at IS NULL`, d.ID, d.Count)
		if err != nil {
			return buried, fmt.Errorf("tombstone worker: %w", err)
		}
		if tag.RowsAffected() > 0 {
			buried++
			s.buried.Add(1)
			s.log.WarnContext(ctx, "worker declared dead", "worker_id", d.ID)
		}
	}
	return buried, nil
}
