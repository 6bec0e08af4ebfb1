package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

const (
	sweepEvery = 2 * time.Second
	// lookEvery adds to the time until lost work goes on, up to twice; so it is finer
	// than what the watch of all processes needs.
	lookEvery = sweepEvery / 2
	// deadAfter is how long a counter must stand still under an unbroken watch.
	deadAfter = 10 * time.Second
	// watchGap is the longest pause between two looks of an unbroken watch.
	watchGap = 3 * sweepEvery
	// turn is how long the process whose turn it is to sweep keeps others from doing
	// the same work. One that dies or freezes loses it.
	turn = 2 * sweepEvery
	// domainLimit is how long a sweep may take for one domain: a slow one does not keep
	// back the others.
	domainLimit = 10 * time.Second
	// lookLimit keeps one look that hangs from breaking the watch.
	lookLimit = watchGap - lookEvery
	// recoverLimit is how long a sweep may take for all domains.
	recoverLimit = 30 * time.Second
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
	limit   time.Duration // of one domain
	events  *event.Log    // told of workers that died; nil: nobody is
	buried  atomic.Uint64
}

// NewSweeper makes a sweeper.
func NewSweeper(db *postgres.DB, client *Client, domains []Domain, log *slog.Logger) *Sweeper {
	return &Sweeper{db: db, client: client, domains: domains, log: log, watch: watch{db: db, me: uuid.New()}, limit: domainLimit}
}

// Announce has log told of workers that this sweeper declares dead.
func (s *Sweeper) Announce(log *event.Log) { s.events = log }

// Buried counts the workers that this process declared dead.
func (s *Sweeper) Buried() uint64 { return s.buried.Load() }

// Name names the service.
func (s *Sweeper) Name() string { return "recovery sweep" }

// Run sweeps until ctx ends; the first sweep is at once. Recovery has a goroutine of its
// own: however long it takes, the looks must follow each other closely.
func (s *Sweeper) Run(ctx context.Context, ready func()) error {
	ready()
	wanted := make(chan struct{}, 1)
	var recovery sync.WaitGroup
	defer recovery.Wait()
	recovery.Go(func() { s.recoverWhen(ctx, wanted) })
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		due, err := s.look(ctx)
		s.complain(ctx, err)
		if due {
			select {
			case wanted <- struct{}{}:
			default: // it is wanted already
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (s *Sweeper) recoverWhen(ctx context.Context, wanted <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-wanted:
			s.complain(ctx, s.recover(ctx))
		}
	}
}

func (s *Sweeper) complain(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "sweep incomplete", "error", err)
	}
}

// Sweep does one round: look at the beats, bury the dead, and have each domain recover
// what they held, and replace lost jobs.
func (s *Sweeper) Sweep(ctx context.Context) error {
	due, err := s.look(ctx)
	if err != nil || !due {
		return err
	}
	return s.recover(ctx)
}

// look looks at the beats and buries the dead; it reports whether this process is to
// recover. One does that for all, and whoever buried somebody does it at once. Two at a
// time do no harm: attempts are fenced.
func (s *Sweeper) look(ctx context.Context) (due bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	dead, mine, err := s.watch.look(ctx)
	if err != nil {
		return false, err
	}
	buried, err := s.bury(ctx, dead)
	return mine || buried > 0, err
}

// settleSQL ends the jobs whose worker is gone: those of workers that were declared
// dead or that stopped, and after a day those of clients that nobody knows. A job is
// a pointer, so nothing is lost with it; but nobody shall see it run for ever.
const settleSQL = `
UPDATE river_job j
SET state = 'cancelled', finalized_at = now(),
    errors = array_append(j.errors, jsonb_build_object('at', now(), 'attempt', j.attempt, 'error', 'the worker that took this job is gone', 'trace', ''))
FROM (SELECT r.id, w.id AS worker, w.tombstone_at, w.stopped_at
      FROM river_job r LEFT JOIN worker_process w ON w.id::text = r.attempted_by[cardinality(r.attempted_by)]
      WHERE r.state = 'running' ORDER BY r.id LIMIT 10000) held
WHERE j.id = held.id AND j.state = 'running'
  AND (held.tombstone_at IS NOT NULL OR held.stopped_at < now() - interval '1 minute'
       OR (held.worker IS NULL AND j.attempted_at < now() - interval '1 day'))`

// settle ends the jobs of workers that are gone; it returns how many.
func (s *Sweeper) settle(ctx context.Context) (int64, error) {
	tag, err := s.db.Exec(ctx, settleSQL)
	if err != nil {
		return 0, fmt.Errorf("settle jobs of dead workers: %w", err)
	}
	return tag.RowsAffected(), nil
}

// recover does it for each domain; one that fails does not keep back the others.
func (s *Sweeper) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recoverLimit)
	defer cancel()
	settled, err := s.settle(ctx)
	if settled > 0 {
		s.log.InfoContext(ctx, "settled jobs of dead workers", "jobs", settled)
	}
	failures := []error{err}
	for _, d := range s.domains {
		failures = append(failures, s.recoverOne(ctx, d))
	}
	return errors.Join(failures...)
}

func (s *Sweeper) recoverOne(ctx context.Context, d Domain) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit)
	defer cancel()
	n, err := d.Recover(ctx)
	if n > 0 {
		s.log.InfoContext(ctx, "took up work of dead workers", "attempts", n)
	}
	again, errJobs := s.replaceLost(ctx, d)
	if again > 0 {
		s.log.InfoContext(ctx, "replaced lost jobs", "jobs", again)
	}
	return errors.Join(err, errJobs)
}

// What the sweep asks of job j: that it is going to happen, and what its pointer's id
// is, as a text. River's index over the arguments serves this badly: each look into it
// goes through all jobs that have an id.
const (
	jobComes  = `j.state IN ('available', 'scheduled', 'retryable')`
	jobTarget = `coalesce(j.args->>'id', j.args->>'node_run_id')`
)

// withoutJobSQL gives the positions of the pointers that no job is going to follow.
const withoutJobSQL = `
SELECT p.position FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS p (kind, id, position)
WHERE NOT EXISTS (SELECT FROM river_job j WHERE j.kind = p.kind AND ` + jobComes + ` AND ` + jobTarget + ` = p.id::text)
ORDER BY p.position LIMIT $3`

// joinJobs queries rows against the jobs of a queue, of which there may be very many
// on both sides. In the minute before the database's statistics know of them, it would
// look through all jobs for each row; so it is told to join in another way.
func joinJobs(ctx context.Context, tx *postgres.Tx, sql string, args ...any) (pgx.Rows, error) {
	if _, err := tx.Exec(ctx, `SET LOCAL enable_nestloop = off`); err != nil {
		return nil, err
	}
	return tx.Query(ctx, sql, args...)
}

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
		rows, err := joinJobs(ctx, tx, withoutJobSQL, kinds, ids, dueBatch)
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
		died := false
		err := s.db.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
			tag, err := tx.Exec(ctx, `UPDATE worker_process SET tombstone_at = now()
				WHERE id = $1 AND beat = $2 AND tombstone_at IS NULL AND stopped_at IS NULL`, d.ID, d.Count)
			if died = err == nil && tag.RowsAffected() > 0; !died {
				return err
			}
			return announceWorker(s.events, tx, d.ID, WorkerDied)
		})
		if err != nil {
			return buried, fmt.Errorf("tombstone worker: %w", err)
		}
		if died {
			buried++
			s.buried.Add(1)
			s.log.WarnContext(ctx, "worker declared dead", "worker_id", d.ID)
		}
	}
	return buried, nil
}
