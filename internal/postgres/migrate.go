package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/llmctl/studio/internal/errs"
)

//go:embed migrations/*.sql
var migrations embed.FS

// BinaryLevel is the schema level this binary was written for. It runs on any
// schema whose min_binary is not above it, newer ones included.
const BinaryLevel = 5

// migrationLock is the advisory lock that lets one process migrate at a time.
const migrationLock = 0x6c6c6d63746c01

// Migrations is the file system of the SQL migrations.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded: this cannot fail in a binary that was built
	}
	return sub
}

// Migrate brings the database to this binary's schema under an advisory lock:
// first ours, then the queue library's. It is idempotent and forward only.
// It refuses a schema whose min_binary is above BinaryLevel.
func (db *DB) Migrate(ctx context.Context, log *slog.Logger) error {
	return db.MigrateTo(ctx, Versions{}, log)
}

// Versions are the migrations that a schema has: ours and the queue library's.
type Versions struct {
	Schema int64 `json:"schema"`
	Queue  int   `json:"queue"`
}

// ReadVersions tells what the schema that q sees was migrated to.
func ReadVersions(ctx context.Context, q Querier) (Versions, error) {
	var v Versions
	err := q.QueryRow(ctx, `SELECT (SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied),
		(SELECT coalesce(max(version), 0) FROM river_migration)`).Scan(&v.Schema, &v.Queue)
	if e := pgError(err); e != nil && e.Code == stateUndefinedTable {
		return v, errNoSchema
	}
	if err != nil {
		return v, fmt.Errorf("read schema versions: %w", err)
	}
	return v, nil
}

// Newest are the versions that this binary migrates to.
func Newest() (Versions, error) {
	var v Versions
	names, err := fs.Glob(Migrations(), "*.sql")
	if err != nil {
		return v, fmt.Errorf("list migrations: %w", err)
	}
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return v, fmt.Errorf("list migrations: %w", err)
		}
		v.Schema = max(v.Schema, n)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(nil), nil)
	if err != nil {
		return v, fmt.Errorf("list queue migrations: %w", err)
	}
	for _, m := range migrator.AllVersions() {
		v.Queue = max(v.Queue, m.Version)
	}
	return v, nil
}

// MigrateTo is Migrate up to certain versions; a version of 0 is the newest.
func (db *DB) MigrateTo(ctx context.Context, to Versions, log *slog.Logger) error {
	conn, err := db.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Release()
	// Waiting for another process's migration is not a stuck lock.
	if _, err := conn.Exec(ctx, "SET lock_timeout = 0"); err != nil {
		return fmt.Errorf("prepare to migrate: %w", err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	defer func() {
		ctx := context.WithoutCancel(ctx)
		_, _ = conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", migrationLock)
		_, _ = conn.Exec(ctx, "RESET lock_timeout")
	}()
	if err := db.CheckLevel(ctx); err != nil && !errors.Is(err, errNoSchema) {
		return err
	}
	if err := db.migrateOurs(ctx, to.Schema, log); err != nil {
		return err
	}
	return migrateQueue(ctx, db.Pool, to.Queue, log)
}

func (db *DB) migrateOurs(ctx context.Context, to int64, log *slog.Logger) error {
	sqlDB := stdlib.OpenDBFromPool(db.Pool)
	defer func() { _ = sqlDB.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, sqlDB, Migrations())
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	var results []*goose.MigrationResult
	if to == 0 {
		results, err = provider.Up(ctx)
	} else {
		results, err = provider.UpTo(ctx, to)
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range results {
		log.InfoContext(ctx, "migrated", "migration", r.Source.Path, "duration", r.Duration)
	}
	return nil
}

func migrateQueue(ctx context.Context, pool *pgxpool.Pool, to int, log *slog.Logger) error {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: log})
	if err != nil {
		return fmt.Errorf("read queue migrations: %w", err)
	}
	// Reading what exists is much cheaper than a migration run that finds nothing to do.
	existing, err := migrator.ExistingVersions(ctx)
	if err != nil {
		return fmt.Errorf("read queue schema: %w", err)
	}
	if len(existing) == len(migrator.AllVersions()) {
		return nil
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, &rivermigrate.MigrateOpts{TargetVersion: to}); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	return nil
}

var errNoSchema = errors.New("no schema yet")

// CheckLevel refuses a schema on which this binary may not run: one whose
// min_binary is above BinaryLevel. errNoSchema means that it was never migrated.
func (db *DB) CheckLevel(ctx context.Context) error {
	var minBinary int
	err := db.QueryRow(ctx, "SELECT min_binary FROM schema_level").Scan(&minBinary)
	if e := pgError(err); e != nil && e.Code == stateUndefinedTable {
		return errNoSchema
	}
	if err != nil {
		return fmt.Errorf("read schema level: %w", err)
	}
	if minBinary > BinaryLevel {
		return errs.Ef(errs.Precondition, "db.schema_too_new",
			"The database needs a newer llmctl (schema level %d, this binary has %d). Install the newer release.", minBinary, BinaryLevel)
	}
	return nil
}
