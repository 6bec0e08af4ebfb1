package backup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// RestoreOptions say where a backup goes.
type RestoreOptions struct {
	URI     string
	DataDir string // for its files; empty: they are left out
	Force   bool   // replace what is there
	Say     func(line string)
}

// Restore puts a backup into a database and a data folder. Until the last step
// nothing of the target changes: the tables are built, filled and migrated in a
// schema of their own, and take the place of the living ones in one transaction.
func (a *Archive) Restore(ctx context.Context, o RestoreOptions) (err error) {
	newest, err := postgres.Newest()
	if err != nil {
		return err
	}
	if v := a.Manifest.Versions; v.Schema > newest.Schema || v.Queue > newest.Queue {
		return errs.Ef(errs.Precondition, ReasonNewer,
			"The backup is of llmctl %s, whose schema (%d, queue %d) is newer than this one's (%d, queue %d). Use that release or a newer one.",
			a.Manifest.Binary, v.Schema, v.Queue, newest.Schema, newest.Queue)
	}
	conn, err := connect(ctx, o.URI, "")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := refuseTarget(ctx, conn, o.Force); err != nil {
		return err
	}
	var files *stagedFiles
	if o.DataDir != "" && len(a.Manifest.Files) > 0 {
		if files, err = stageFiles(o.DataDir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files.close()) }()
		if there := files.existing(a.Manifest.Files); len(there) > 0 && !o.Force {
			return errs.Ef(errs.Conflict, ReasonNotEmpty, "The data folder has %d of the backup's files already (for example %s). --force replaces them.", len(there), there[0])
		}
	}
	return a.build(ctx, o, conn, files)
}

// build fills a schema beside the living one and swaps them.
func (a *Archive) build(ctx context.Context, o RestoreOptions, conn *pgx.Conn, files *stagedFiles) (err error) {
	stage := "llmctl_restore_" + strings.ToLower(rand.Text()[:10])
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+stage); err != nil {
		return rights(err, "make a schema to restore into")
	}
	defer func() {
		_, dropErr := conn.Exec(context.WithoutCancel(ctx), "DROP SCHEMA IF EXISTS "+stage+" CASCADE")
		if err == nil && dropErr != nil {
			err = fmt.Errorf("remove the empty schema %s: %w", stage, dropErr)
		}
	}()
	if err := migrateStage(ctx, o, stage, a.Manifest.Versions); err != nil {
		return err
	}
	if err := a.fill(ctx, o, stage, files); err != nil {
		return err
	}
	if err := migrateStage(ctx, o, stage, postgres.Versions{}); err != nil {
		return err
	}
	if err := swap(ctx, conn, stage, o.Force); err != nil {
		return err
	}
	if files != nil {
		return files.place()
	}
	return nil
}

// rights explains an error that the role of the address causes.
func rights(err error, what string) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42501" {
		return errs.Ef(errs.Precondition, ReasonRights,
			"The role of the database address may not %s: %s. Use the role that owns the database.", what, e.Message)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func migrateStage(ctx context.Context, o RestoreOptions, stage string, to postgres.Versions) error {
	db, err := postgres.Open(ctx, postgres.Options{URI: o.URI, MaxConns: 4, Application: application, Schema: stage})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.MigrateTo(ctx, to, slog.New(slog.DiscardHandler)); err != nil {
		return fmt.Errorf("migrate the restored schema: %w", err)
	}
	return nil
}

// fill copies the contents in, in one transaction.
func (a *Archive) fill(ctx context.Context, o RestoreOptions, stage string, files *stagedFiles) error {
	conn, err := connect(ctx, o.URI, stage)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		back, err := loosen(ctx, tx)
		if err != nil {
			return err
		}
		if err := a.copyItems(ctx, tx, o, files); err != nil {
			return err
		}
		for _, s := range a.Manifest.Sequences {
			if _, err := tx.Exec(ctx, "SELECT setval($1::text::regclass, $2, $3)", pgx.Identifier{s.Name}.Sanitize(), s.Value, s.Called); err != nil {
				return fmt.Errorf("set the counter %s: %w", s.Name, err)
			}
		}
		o.Say("checking references")
		for _, sql := range back {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("restore a constraint: %w", err)
			}
		}
		return nil
	})
}

// loosen takes away what would stand in the way of copying in any order: rows of
// the migrations, foreign keys, triggers. It gives the statements that undo it.
func loosen(ctx context.Context, tx pgx.Tx) (back []string, err error) {
	tables, err := listTables(ctx, tx)
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT conrelid::regclass::text, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
		WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY 1, 2`)
	if err != nil {
		return nil, fmt.Errorf("list foreign keys: %w", err)
	}
	keys, err := pgx.CollectRows(rows, scanKey)
	if err != nil {
		return nil, fmt.Errorf("list foreign keys: %w", err)
	}
	var now []string
	for _, k := range keys {
		now = append(now, "ALTER TABLE "+k[0]+" DROP CONSTRAINT "+k[1])
		back = append(back, "ALTER TABLE "+k[0]+" ADD CONSTRAINT "+k[1]+" "+k[2])
	}
	for _, t := range tables {
		name := pgx.Identifier{t.Name}.Sanitize()
		now = append(now, "TRUNCATE "+name, "ALTER TABLE "+name+" DISABLE TRIGGER USER")
		back = append(back, "ALTER TABLE "+name+" ENABLE TRIGGER USER")
	}
	for _, sql := range now {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("prepare the restored schema: %w", err)
		}
	}
	return back, nil
}

func scanKey(r pgx.CollectableRow) (k [3]string, err error) {
	err = r.Scan(&k[0], &k[1], &k[2])
	return k, err
}

func (a *Archive) copyItems(ctx context.Context, tx pgx.Tx, o RestoreOptions, files *stagedFiles) error {
	tables, known := map[string]Table{}, map[string]File{}
	for _, t := range a.Manifest.Tables {
		tables[tablePrefix+t.Name] = t
	}
	for _, f := range a.Manifest.Files {
		known[filePrefix+f.Path] = f
	}
	return a.items(func(name string, r io.Reader) error {
		if t, ok := tables[name]; ok {
			return copyTable(ctx, tx, o, t, r)
		}
		if f, ok := known[name]; ok && files != nil {
			return files.add(f, r)
		}
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

func copyTable(ctx context.Context, tx pgx.Tx, o RestoreOptions, t Table, r io.Reader) error {
	sql := "COPY " + pgx.Identifier{t.Name}.Sanitize() + " (" + columns(t.Columns) + ") FROM STDIN"
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, r, sql)
	if err != nil {
		return fmt.Errorf("restore table %s: %w", t.Name, err)
	}
	if tag.RowsAffected() != t.Rows {
		return damaged("table %s gave %d rows, its manifest says %d", t.Name, tag.RowsAffected(), t.Rows)
	}
	if t.Rows > 0 {
		o.Say(fmt.Sprintf("%s: %d rows", t.Name, t.Rows))
	}
	return nil
}
