package periodic

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// State is what is known of a task.
type State struct {
	Name          string
	Host          string // of what is done on each host by itself
	PeriodSeconds float64
	NextAt        *time.Time // nil: it is not claimed here
	StartedAt     *time.Time
	FinishedAt    *time.Time
	Running       bool
	Outcome       string // of the last one that ended; empty: none did
	Error         string
	Detail        json.RawMessage
	LateSeconds   float64 // since its next time, when that has passed
}

// maxStates bounds the list: each host may note work of its own.
const maxStates = 500

// List gives all tasks by name and host.
func List(ctx context.Context, q postgres.Querier) ([]State, error) {
	rows, err := q.Query(ctx, `SELECT name, host, period_seconds, next_at, started_at, finished_at, lease_until IS NOT NULL AND lease_until > now(),
			CASE WHEN lease_until < now() THEN 'interrupted' ELSE coalesce(outcome, '') END, error, detail,
			greatest(coalesce(extract(epoch FROM now() - next_at)::float8, 0), 0)
		FROM periodic_task WHERE next_at IS NOT NULL OR finished_at > now() - interval '7 days' ORDER BY name, host LIMIT $1`, maxStates)
	if err != nil {
		return nil, fmt.Errorf("list periodic tasks: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[State])
	if err != nil {
		return nil, fmt.Errorf("list periodic tasks: %w", err)
	}
	return out, nil
}

const (
	// AnnounceEvery is how often a scheduler says that it lives.
	AnnounceEvery = 2 * time.Second
	// aliveFor is how long after its last word it is believed to.
	aliveFor    = 15 * time.Second
	forgetAfter = time.Hour
)

// Scheduler is a process that fires schedules and runs periodic tasks.
type Scheduler struct {
	ID        uuid.UUID
	Hostname  string
	PID       int
	Version   string
	StartedAt time.Time
	BeatAt    time.Time
}

// Schedulers gives those that live.
func Schedulers(ctx context.Context, q postgres.Querier) ([]Scheduler, error) {
	rows, err := q.Query(ctx, `SELECT id, hostname, pid, version, started_at, beat_at FROM beat_process
		WHERE beat_at > now() - make_interval(secs => $1) ORDER BY started_at LIMIT 200`, aliveFor.Seconds())
	if err != nil {
		return nil, fmt.Errorf("list schedulers: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Scheduler])
	if err != nil {
		return nil, fmt.Errorf("list schedulers: %w", err)
	}
	return out, nil
}

// Presence is this process's entry among the schedulers.
type Presence struct {
	db   *postgres.DB
	self Scheduler
}

// NewPresence makes an entry; Announce writes it.
func NewPresence(db *postgres.DB, host, version string) *Presence {
	return &Presence{db: db, self: Scheduler{ID: uuid.New(), Hostname: host, PID: os.Getpid(), Version: version}}
}

// Announce says that this process lives.
func (p *Presence) Announce(ctx context.Context) error {
	_, err := p.db.Exec(ctx, `INSERT INTO beat_process (id, hostname, pid, version) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET beat_at = now()`, p.self.ID, p.self.Hostname, p.self.PID, p.self.Version)
	if err != nil {
		return fmt.Errorf("announce scheduler: %w", err)
	}
	return nil
}

// Retire takes this process off the list.
func (p *Presence) Retire(ctx context.Context) error {
	if _, err := p.db.Exec(ctx, `DELETE FROM beat_process WHERE id = $1`, p.self.ID); err != nil {
		return fmt.Errorf("retire scheduler: %w", err)
	}
	return nil
}

// Forget removes the entries of schedulers that died long ago, and notes of hosts
// that are gone.
func Forget(ctx context.Context, q postgres.Querier) error {
	_, err := q.Exec(ctx, `WITH dead AS (DELETE FROM beat_process WHERE beat_at < now() - make_interval(secs => $1))
		DELETE FROM periodic_task WHERE next_at IS NULL AND finished_at < now() - interval '30 days'`, forgetAfter.Seconds())
	if err != nil {
		return fmt.Errorf("forget dead schedulers: %w", err)
	}
	return nil
}
