package backup

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/errs"
)

// querier is a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// refuseTarget says what speaks against restoring into a database.
func refuseTarget(ctx context.Context, q querier, force bool) error {
	var users []string
	err := q.QueryRow(ctx, `SELECT coalesce(array_agg(DISTINCT application_name || coalesce(' from ' || host(client_addr), '')), '{}')
		FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'llmctl%' AND application_name <> $1`,
		application).Scan(&users)
	if err != nil {
		return fmt.Errorf("look who uses the database: %w", err)
	}
	workers, err := beating(ctx, q)
	if err != nil {
		return err
	}
	if users = append(users, workers...); len(users) > 0 {
		return errs.Ef(errs.Conflict, ReasonInUse,
			"The database is in use by %s. Stop every llmctl that uses it, then restore; --force does not change that.", strings.Join(users, ", "))
	}
	full, err := filled(ctx, q)
	if err != nil {
		return err
	}
	if len(full) > 0 && !force {
		return errs.Ef(errs.Conflict, ReasonNotEmpty,
			"The database is not empty (%s). Restore into an empty one, or replace everything in it with --force.", strings.Join(full, ", "))
	}
	return nil
}

// beating lists workers that showed a sign of life within the time after which
// others would begin to think of them as dead.
func beating(ctx context.Context, q querier) ([]string, error) {
	var there bool
	if err := q.QueryRow(ctx, "SELECT to_regclass('worker_process') IS NOT NULL").Scan(&there); err != nil || !there {
		return nil, err
	}
	rows, err := q.Query(ctx, `SELECT 'worker ' || hostname || ' (process ' || pid || ')' FROM worker_process
		WHERE stopped_at IS NULL AND tombstone_at IS NULL AND beat_at > now() - interval '10 seconds' ORDER BY 1 LIMIT 5`)
	if err != nil {
		return nil, fmt.Errorf("look for workers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// filled lists tables that hold more than a fresh installation has. Rows that every
// start makes do not count.
func filled(ctx context.Context, q querier) ([]string, error) {
	rows, err := q.Query(ctx, `SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
		AND relname NOT IN (`+schemaTables+`, 'project', 'setup_token', 'worker_process', 'web_worker', 'liveness_watch', 'beat_process', 'periodic_task', 'retention_progress', 'queue_minute', 'rag_vector') AND relname NOT LIKE 'river\_%' ORDER BY relname`)
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
	}
	var full []string
	for _, name := range names {
		var one bool
		where := ""
		if name == "mcp_server" {
			where = " WHERE server_type = 'custom'" // integrated ones are there from the first start on
		}
		if err := q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+pgx.Identifier{name}.Sanitize()+where+")").Scan(&one); err != nil {
			return nil, fmt.Errorf("look at table %s: %w", name, err)
		}
		if one {
			full = append(full, name)
		}
	}
	return full, nil
}

// swap puts the stage's objects in the place of the living ones, all at once.
func swap(ctx context.Context, conn *pgx.Conn, stage string, force bool) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var living string
		if err := tx.QueryRow(ctx, "SELECT current_schema()").Scan(&living); err != nil {
			return fmt.Errorf("look at the schema: %w", err)
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", swapLock); err != nil {
			return fmt.Errorf("lock the swap: %w", err)
		}
		// Much time has passed since the first look.
		if err := refuseTarget(ctx, tx, force); err != nil {
			return err
		}
		for _, kind := range objects() {
			if err := kind.move(ctx, tx, stage, pgx.Identifier{living}.Sanitize(), living); err != nil {
				return err
			}
		}
		return nil
	})
}

// swapLock lets one restore at a time swap.
const swapLock = 0x6c6c6d63746c02

// object is a kind of thing in a schema.
type object struct {
	verb string // "TABLE"
	list string // names in the schema $1, as ALTER takes them below a schema
}

// objects in an order in which they can be moved: indexes, constraints, owned
// sequences and triggers go along with their tables.
func objects() []object {
	return []object{
		{"TABLE", `SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p')`},
		{"SEQUENCE", `SELECT quote_ident(c.relname) FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'S'
			AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))`},
		{"FUNCTION", `SELECT quote_ident(proname) || '(' || pg_get_function_identity_arguments(oid) || ')' FROM pg_proc
			WHERE pronamespace = $1::regnamespace AND prokind = 'f' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = pg_proc.oid AND d.deptype = 'e')`},
		{"TYPE", `SELECT quote_ident(t.typname) FROM pg_type t WHERE t.typnamespace = $1::regnamespace AND t.typtype IN ('e', 'd')`},
	}
}

// move drops what has the same name in the living schema and moves the new one there.
func (o object) move(ctx context.Context, tx pgx.Tx, stage, living, name string) error {
	rows, err := tx.Query(ctx, o.list, stage)
	if err != nil {
		return fmt.Errorf("list what was restored: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list what was restored: %w", err)
	}
	for _, n := range names {
		plain := strings.ReplaceAll(n, stage+".", living+".")
		if _, err := tx.Exec(ctx, "DROP "+o.verb+" IF EXISTS "+living+"."+plain+" CASCADE"); err != nil {
			return rights(err, "replace "+name+"."+n)
		}
	}
	for _, n := range names {
		if _, err := tx.Exec(ctx, "ALTER "+o.verb+" "+stage+"."+n+" SET SCHEMA "+living); err != nil {
			return rights(err, "move the restored "+n)
		}
	}
	return nil
}
