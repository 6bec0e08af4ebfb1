package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Querier is what a query needs: the pool or a transaction, the caller's
// visible choice.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB is a pool of connections to one database.
type DB struct {
	Pool *pgxpool.Pool
}

// Options size a pool.
type Options struct {
	URI         string
	MaxConns    int32         // 0: 16
	Application string        // application_name, visible in pg_stat_activity
	IdleInTx    time.Duration // 0: 10 s; a transaction that stands still longer is ended by the server
	LockTimeout time.Duration // 0: 10 s
	Schema      string        // search_path; empty: the role's, where everything normally lies
}

// Open makes a pool. It does not connect yet; Preflight or the first query does.
// The error never contains the password.
func Open(ctx context.Context, o Options) (*DB, error) {
	dsn, err := ParseURI(o.URI)
	if err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("parse database address: %w", err)
	}
	cfg.MaxConns = max(o.MaxConns, 2)
	if o.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	// A frozen process must not hold row locks for ever: the server ends it.
	params := cfg.ConnConfig.RuntimeParams
	params["idle_in_transaction_session_timeout"] = millis(o.IdleInTx, 10*time.Second)
	params["lock_timeout"] = millis(o.LockTimeout, 10*time.Second)
	params["timezone"] = "UTC"
	if o.Schema != "" {
		params["search_path"] = o.Schema
	}
	if o.Application != "" {
		params["application_name"] = o.Application
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	return &DB{Pool: pool}, nil
}

func millis(d, fallback time.Duration) string {
	if d == 0 {
		d = fallback
	}
	return fmt.Sprintf("%dms", d.Milliseconds())
}

// Close waits for borrowed connections and closes the pool.
func (db *DB) Close() { db.Pool.Close() }

// Exec runs a statement outside a transaction.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return db.Pool.Exec(ctx, sql, args...)
}

// Query runs a query outside a transaction.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return db.Pool.Query(ctx, sql, args...)
}

// QueryRow runs a one-row query outside a transaction.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return db.Pool.QueryRow(ctx, sql, args...)
}
