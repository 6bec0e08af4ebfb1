package queue

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/event"
	"github.com/llmctl/studio/internal/postgres"
)

// The periods of the liveness protocol.
const (
	beatEvery = 2 * time.Second
	// freshFor is how old a worker's last confirmed beat may be for it to start a
	// side effect. It is shorter than deadAfter, so that a worker stops before
	// anybody declares it dead.
	freshFor = 8 * time.Second
)

// RegistryOptions describe this worker process.
type RegistryOptions struct {
	DB      *postgres.DB
	Logger  *slog.Logger
	ID      uuid.UUID
	Owner   string // e.g. the data dir's id: a successor tombstones workers of the same owner
	Host    string
	Version string
	Slots   int
	Queues  []string
	Now     func() time.Time
	// Orders is called with the attempts of this worker that are to stop, again
	// and again until they have.
	Orders func(held []Held)
	// Dead is called once if this worker finds that it was declared dead.
	Dead func()
	// Draining is told with each beat whether this worker is to take nothing new; nil: nobody is.
	Draining func(draining bool)
	// Events are told of workers that come and go; nil: none.
	Events *event.Log
}

// Held is an attempt that a worker holds: of a node run, or of a turn.
type Held struct {
	NodeRunID int64 // 0: of a turn
	TurnID    int64 // 0: of a node run
	Attempt   int32
}

// Registry keeps this process's row in worker_process and its beat.
type Registry struct {
	o    RegistryOptions
	last atomic.Int64 // unix nanoseconds of the beginning of the last successful beat
	dead atomic.Bool
	use  sampler // of the beat
}

// NewRegistry makes a registry; Register inserts the row.
func NewRegistry(o RegistryOptions) *Registry { return &Registry{o: o, use: sampler{now: o.Now}} }

// Register inserts this worker's row and tombstones the workers that the same
// owner left behind: the caller holds the owner's lock, so they cannot be alive.
// It returns how many those were.
func (r *Registry) Register(ctx context.Context) (int64, error) {
	var left int64
	err := r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE worker_process SET tombstone_at = now()
			WHERE owner = $1 AND tombstone_at IS NULL AND stopped_at IS NULL`, r.o.Owner)
		if err != nil {
			return fmt.Errorf("tombstone predecessors: %w", err)
		}
		left = tag.RowsAffected()
		_, err = tx.Exec(ctx, `INSERT INTO worker_process (id, owner, hostname, pid, version, slots, queues, level)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, r.o.ID, r.o.Owner, r.o.Host, os.Getpid(), r.o.Version, r.o.Slots, r.o.Queues,
			postgres.BinaryLevel)
		if err != nil {
			return fmt.Errorf("register worker: %w", err)
		}
		return announceWorker(r.o.Events, tx, r.o.ID, WorkerJoined)
	})
	if err == nil {
		r.last.Store(r.o.Now().UnixNano())
	}
	return left, err
}

// Fresh reports whether this worker may start side effects: it beat recently and
// has not been declared dead.
func (r *Registry) Fresh() bool {
	return !r.dead.Load() && r.o.Now().UnixNano()-r.last.Load() < int64(freshFor)
}

// Name names the service.
func (r *Registry) Name() string { return "worker registry" }

// Run beats on a connection of its own until ctx ends, then notes the graceful
// stop.
func (r *Registry) Run(ctx context.Context, ready func()) error {
	ready()
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	var conn *pgx.Conn
	defer func() { closeConn(ctx, conn) }()
	for {
		select {
		case <-ctx.Done():
			return r.retire(context.WithoutCancel(ctx))
		case <-ticker.C:
			var err error
			if conn, err = r.beat(ctx, conn); err != nil && ctx.Err() == nil {
				r.o.Logger.WarnContext(ctx, "beat failed", "error", err)
			}
		}
	}
}

// beat bumps the counter; the answer carries the cancel orders. A connection
// that failed is given up, the next beat makes a new one.
func (r *Registry) beat(ctx context.Context, conn *pgx.Conn) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, freshFor/2)
	defer cancel()
	began := r.o.Now()
	if conn == nil {
		var err error
		if conn, err = pgx.ConnectConfig(ctx, r.o.DB.Pool.Config().ConnConfig); err != nil {
			return nil, fmt.Errorf("connect: %w", err)
		}
	}
	use := r.use.sample()
	rows, err := conn.Query(ctx, `
		WITH me AS (
			UPDATE worker_process SET beat = beat + 1, beat_at = now(), rss_bytes = nullif($2::bigint, 0), cpu_cores = $3, goroutines = $4
			WHERE id = $1 AND tombstone_at IS NULL AND stopped_at IS NULL RETURNING id, draining_at
		)
		SELECT me.id IS NOT NULL, me.draining_at IS NOT NULL, coalesce(a.node_run_id, 0), coalesce(a.turn_id, 0), coalesce(a.number, 0)
		FROM (SELECT 1) one LEFT JOIN me ON true LEFT JOIN LATERAL (
			SELECT node_run_id, NULL::bigint AS turn_id, number FROM node_attempt
			WHERE worker_process_id = me.id AND finished_at IS NULL AND cancel_requested_at IS NOT NULL
			UNION ALL
			SELECT NULL, turn_id, number FROM turn_attempt
			WHERE worker_process_id = me.id AND finished_at IS NULL AND cancel_requested_at IS NOT NULL
		) a ON true`,
		r.o.ID, use.RSSBytes, use.CPUCores, use.Goroutines)
	if err != nil {
		closeConn(ctx, conn)
		return nil, fmt.Errorf("beat: %w", err)
	}
	alive, draining := false, false
	var orders []Held
	for rows.Next() {
		var h Held
		if err := rows.Scan(&alive, &draining, &h.NodeRunID, &h.TurnID, &h.Attempt); err != nil {
			rows.Close()
			closeConn(ctx, conn)
			return nil, fmt.Errorf("beat: %w", err)
		}
		if h.NodeRunID != 0 || h.TurnID != 0 {
			orders = append(orders, h)
		}
	}
	if err := rows.Err(); err != nil {
		closeConn(ctx, conn)
		return nil, fmt.Errorf("beat: %w", err)
	}
	r.heard(alive, began, orders)
	if alive && r.o.Draining != nil {
		r.o.Draining(draining)
	}
	return conn, nil
}

func (r *Registry) heard(alive bool, began time.Time, orders []Held) {
	if !alive {
		if !r.dead.Swap(true) {
			r.o.Dead()
		}
		return
	}
	r.last.Store(began.UnixNano())
	if len(orders) > 0 {
		r.o.Orders(orders)
	}
}

// retire says that this worker ended on purpose: what it still held is taken up
// by others at once.
func (r *Registry) retire(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	err := r.o.DB.InTx(ctx, func(ctx context.Context, tx *postgres.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE worker_process SET stopped_at = now() WHERE id = $1 AND stopped_at IS NULL`, r.o.ID)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return announceWorker(r.o.Events, tx, r.o.ID, WorkerStopped)
	})
	if err != nil {
		return fmt.Errorf("retire worker: %w", err)
	}
	return nil
}

func closeConn(ctx context.Context, conn *pgx.Conn) {
	if conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
