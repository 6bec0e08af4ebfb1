package periodic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// Task is periodic work of the system.
type Task struct {
	Name   string
	Period time.Duration
	// Limit is how long it may take. Its context ends then.
	Limit time.Duration
	// Do does the work of one period; detail is what people are shown of it.
	Do func(ctx context.Context) (detail any, err error)
}

// Runner runs tasks whose time has come.
type Runner struct {
	db    *postgres.DB
	tasks map[string]Task
	names []string
	log   *slog.Logger
}

// NewRunner makes a runner. Error: invalid, for a task that cannot run.
func NewRunner(db *postgres.DB, log *slog.Logger, tasks ...Task) (*Runner, error) {
	r := &Runner{db: db, tasks: map[string]Task{}, log: log}
	for _, t := range tasks {
		if t.Name == "" || t.Period < time.Second || t.Limit <= 0 || t.Do == nil || r.tasks[t.Name].Do != nil {
			return nil, errs.Ef(errs.Invalid, "periodic.task", "The periodic task %q needs a name of its own, a period of a second at least, a limit and something to do.", t.Name)
		}
		r.tasks[t.Name] = t
		r.names = append(r.names, t.Name)
	}
	return r, nil
}

// Enroll writes the tasks into the table; those that are there keep their times,
// unless their next one lies further away than a period.
func (r *Runner) Enroll(ctx context.Context) error {
	for _, name := range r.names {
		_, err := r.db.Exec(ctx, `INSERT INTO periodic_task (name, period_seconds, next_at) VALUES ($1, $2, now())
			ON CONFLICT (name, host) DO UPDATE SET period_seconds = excluded.period_seconds,
				next_at = least(periodic_task.next_at, now() + make_interval(secs => excluded.period_seconds))
			WHERE periodic_task.period_seconds <> excluded.period_seconds`, name, r.tasks[name].Period.Seconds())
		if err != nil {
			return fmt.Errorf("enroll periodic task %s: %w", name, err)
		}
	}
	return nil
}

// claim is the right to do one period of a task.
type claim struct {
	name   string
	number int64
}

var errNothingDue = errors.New("nothing is due")

// Claimed times lie on the task's grid: next_at plus a whole number of periods.
const claimSQL = `
WITH due AS (
    SELECT name, host FROM periodic_task
    WHERE host = '' AND name = ANY ($1) AND next_at <= now() AND (lease_until IS NULL OR lease_until < now())
    ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE periodic_task t
SET due_at = t.next_at, started_at = now(), claims = t.claims + 1,
    next_at = t.next_at + make_interval(secs => t.period_seconds * (floor(extract(epoch FROM now() - t.next_at)::float8 / t.period_seconds) + 1)),
    lease_until = now() + make_interval(secs => ($2::jsonb ->> t.name)::float8),
    outcome = CASE WHEN t.lease_until IS NULL THEN t.outcome ELSE 'interrupted' END,
    error = CASE WHEN t.lease_until IS NULL THEN t.error ELSE 'The process that did this ended in the middle of it.' END
FROM due WHERE t.name = due.name AND t.host = due.host
RETURNING t.name, t.claims, t.outcome IS NOT DISTINCT FROM 'interrupted' AND t.error <> ''`

// leaseMargin is how much longer than its limit a task is thought to live.
const leaseMargin = 15 * time.Second

func (r *Runner) claim(ctx context.Context) (claim, error) {
	leases := map[string]float64{}
	for name, t := range r.tasks {
		leases[name] = (t.Limit + leaseMargin).Seconds()
	}
	raw, err := json.Marshal(leases)
	if err != nil {
		return claim{}, fmt.Errorf("encode leases: %w", err)
	}
	var c claim
	var interrupted bool
	err = r.db.QueryRow(ctx, claimSQL, r.names, raw).Scan(&c.name, &c.number, &interrupted)
	if postgres.NotFound(err) {
		return c, errNothingDue
	}
	if err != nil {
		return c, fmt.Errorf("claim a periodic task: %w", err)
	}
	if interrupted {
		r.log.WarnContext(ctx, "the period before this one was interrupted", "task", c.name)
	}
	return c, nil
}

// RunDue starts every task whose time has come, in a goroutine of wg each.
func (r *Runner) RunDue(ctx context.Context, wg *sync.WaitGroup) error {
	for range len(r.names) {
		c, err := r.claim(ctx)
		if errors.Is(err, errNothingDue) {
			return nil
		}
		if err != nil {
			return err
		}
		wg.Go(func() { r.do(ctx, c) })
	}
	return nil
}

func (r *Runner) do(ctx context.Context, c claim) {
	t := r.tasks[c.name]
	limited, cancel := context.WithTimeout(ctx, t.Limit)
	detail, err := t.Do(limited)
	cancel()
	if err != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "periodic task failed", "task", c.name, "error", err)
	}
	// A task that this process's end cut short is noted as such.
	outcome, text := outcomeOf(ctx, err)
	report, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := r.report(report, c, outcome, text, detail); err != nil {
		r.log.WarnContext(report, "the end of a periodic task could not be noted", "task", c.name, "error", err)
	}
}

func outcomeOf(ctx context.Context, err error) (outcome, text string) {
	switch {
	case err == nil:
		return "succeeded", ""
	case ctx.Err() != nil:
		return "interrupted", "The scheduler was stopped in the middle of it."
	}
	known := errs.As(err)
	if known.Code == errs.Internal { // its text is not for everybody who may look
		return "failed", "Something went wrong on our side; the log of the scheduler says what."
	}
	return "failed", known.Message
}

// maxError bounds what is kept of an error.
const maxError = 2000

func (r *Runner) report(ctx context.Context, c claim, outcome, text string, detail any) error {
	raw, err := json.Marshal(detail)
	if err != nil || detail == nil {
		raw = []byte("{}")
	}
	_, err = r.db.Exec(ctx, `UPDATE periodic_task SET finished_at = now(), lease_until = NULL, outcome = $3, error = left($4, $6), detail = $5
		WHERE name = $1 AND host = '' AND claims = $2`, c.name, c.number, outcome, text, raw, maxError)
	return err
}

// Note writes down that work which is not claimed here was done: elsewhere, or on
// each host by itself. At most once in a quarter of a minute, so that frequent work
// costs nothing.
func Note(ctx context.Context, q postgres.Querier, name, host string, period time.Duration, failure error, detail any) error {
	raw, err := json.Marshal(detail)
	if err != nil || detail == nil {
		raw = []byte("{}")
	}
	outcome, text := outcomeOf(ctx, failure)
	_, err = q.Exec(ctx, `INSERT INTO periodic_task (name, host, period_seconds, started_at, finished_at, outcome, error, detail)
		VALUES ($1, $2, $3, now(), now(), $4, left($5, $7), $6)
		ON CONFLICT (name, host) DO UPDATE SET period_seconds = excluded.period_seconds, started_at = now(), finished_at = now(),
			outcome = excluded.outcome, error = excluded.error, detail = excluded.detail
		WHERE periodic_task.next_at IS NULL
		  AND (periodic_task.finished_at < now() - interval '15 seconds' OR periodic_task.outcome <> excluded.outcome)`,
		name, host, period.Seconds(), outcome, text, raw, maxError)
	if err != nil {
		return fmt.Errorf("note periodic task %s: %w", name, err)
	}
	return nil
}
