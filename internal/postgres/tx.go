package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Tx is a transaction with hooks. It must not leave the function that InTx
// calls.
type Tx struct {
	pgx.Tx
	values map[any]any
	before []func(ctx context.Context) error
	after  []func()
}

// maxTries bounds how often InTx repeats a transaction that Postgres refused
// because of another one (serialization failure, deadlock).
const maxTries = 4

// InTx runs f in a transaction and commits it; if f or a before-commit hook
// fails, everything is rolled back and no after-commit hook runs. The whole of f
// is repeated on serialization failures and deadlocks, so f must have no effect
// outside the transaction but through hooks. Transactions do not nest: pass the
// Tx down.
func (db *DB) InTx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	for try := 1; ; try++ {
		err := db.once(ctx, f)
		if err == nil || try == maxTries || !retryable(err) || ctx.Err() != nil {
			return err
		}
		// Spread the contenders; the wait is short and bounded.
		timer := time.NewTimer(time.Duration(try*try) * 2 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
	}
}

func (db *DB) once(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	raw, err := db.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{Tx: raw, values: map[any]any{}}
	defer func() {
		// After a cancelled context the rollback still has to reach the server.
		rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = raw.Rollback(rollback) // a no-op after commit
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	for _, hook := range tx.before {
		if err := hook(ctx); err != nil {
			return err
		}
	}
	if err := raw.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	for _, hook := range tx.after {
		hook()
	}
	return nil
}

// BeforeCommit registers a hook that runs last inside the transaction, in order
// of registration.
func (tx *Tx) BeforeCommit(hook func(ctx context.Context) error) {
	tx.before = append(tx.before, hook)
}

// AfterCommit registers a hook that runs after a successful commit. It must not
// block and its work may be lost (the process may die first).
func (tx *Tx) AfterCommit(hook func()) { tx.after = append(tx.after, hook) }

// Value gives what the transaction carries under key, made by create at first.
func (tx *Tx) Value(key any, create func() any) any {
	v, ok := tx.values[key]
	if !ok {
		v = create()
		tx.values[key] = v
	}
	return v
}

// NotFound reports whether err says that a query gave no row.
func NotFound(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
