package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/llmctl/studio/internal/errs"
)

// PreflightOptions say how patient the preflight is.
type PreflightOptions struct {
	Timeout  time.Duration // how long to try in all
	Interval time.Duration // between tries
	Migrate  bool          // migrate, or only check
	Logger   *slog.Logger
}

// coreTables are those without which nothing can be served.
func coreTables() []string {
	return []string{
		"app_user", "session", "api_key", "provider", "model", "flowchart", "flowchart_version",
		"flowchart_run", "node_run", "node_attempt", "worker_process", "event_stream", "event", "river_job",
	}
}

// Preflight proves that the database can be served from: it answers SELECT 1,
// its schema is migrated (or, without Migrate, that of this release or newer) and the core
// tables are there. It tries again until Timeout; a refused schema ends it at
// once. The error says what failed last and what to do.
func (db *DB) Preflight(ctx context.Context, o PreflightOptions) error {
	deadline := time.Now().Add(o.Timeout)
	for {
		err := db.preflightOnce(ctx, o)
		if err == nil {
			return nil
		}
		if errs.HasReason(err, "db.schema_too_new") || ctx.Err() != nil {
			return err
		}
		if !time.Now().Add(o.Interval).Before(deadline) {
			return errs.Ef(errs.Unavailable, "db.preflight",
				"The database did not become ready within %s: %s. Check that it runs and that LLMCTL_STUDIO_DATABASE_URI is right, then run `llmctl db check`.",
				o.Timeout, plainReason(err)).With(err)
		}
		o.Logger.WarnContext(ctx, "database not ready, trying again", "error", plainReason(err), "interval", o.Interval)
		timer := time.NewTimer(o.Interval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (db *DB) preflightOnce(ctx context.Context, o PreflightOptions) error {
	connect, cancel := context.WithTimeout(ctx, max(o.Interval, 5*time.Second))
	defer cancel()
	if _, err := db.Exec(connect, "SELECT 1"); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if o.Migrate {
		if err := db.Migrate(ctx, o.Logger); err != nil {
			return err
		}
	} else if err := db.checkSchema(ctx); err != nil {
		return err
	}
	return db.checkTables(ctx)
}

// checkSchema refuses a schema that this binary may not run on, because it is too new or
// because it is not migrated yet: during an update processes start beside the migration,
// and their first statements would ask for tables that come a moment later.
func (db *DB) checkSchema(ctx context.Context) error {
	err := db.CheckLevel(ctx)
	var has Versions
	if err == nil {
		has, err = ReadVersions(ctx, db)
	}
	if errors.Is(err, errNoSchema) {
		return errors.New("the schema is missing; run `llmctl db migrate`")
	}
	if err != nil {
		return err
	}
	needs, err := Newest()
	if err != nil {
		return err
	}
	if has.Schema < needs.Schema || has.Queue < needs.Queue {
		return fmt.Errorf("the schema is older than this release: it has version %d (queue %d), needed are %d (queue %d); run `llmctl db migrate`",
			has.Schema, has.Queue, needs.Schema, needs.Queue)
	}
	return nil
}

func (db *DB) checkTables(ctx context.Context) error {
	rows, err := db.Query(ctx, "SELECT t FROM unnest($1::text[]) t WHERE to_regclass(t) IS NULL", coreTables())
	if err != nil {
		return fmt.Errorf("look for core tables: %w", err)
	}
	defer rows.Close()
	var missing []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return fmt.Errorf("look for core tables: %w", err)
		}
		missing = append(missing, table)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("look for core tables: %w", err)
	}
	if len(missing) > 0 {
		return fmt.Errorf("core tables are missing: %s; run `llmctl db migrate`", strings.Join(missing, ", "))
	}
	return nil
}

// plainReason keeps the driver's text, on one line.
func plainReason(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
