package backup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
)

// CreateOptions say what goes into a backup.
type CreateOptions struct {
	URI        string
	DataDir    string // its files go in; empty: none
	Output     string
	Replace    bool // an existing file
	Key        []byte
	KeyID      string // which key stored secrets need; "" when there is none
	Passphrase string // seals Key; empty: the key stays out
	Binary     string
	Now        func() time.Time
	Say        func(line string)
}

// Create writes a backup. The database may be in use.
func Create(ctx context.Context, o CreateOptions) (m *Manifest, err error) {
	m = &Manifest{Format: Format, CreatedAt: o.Now().UTC().Truncate(time.Second), Binary: o.Binary, KeyID: o.KeyID}
	if o.Passphrase != "" {
		if m.Key, err = sealKey(o.Key, o.Passphrase); err != nil {
			return nil, err
		}
	}
	conn, err := connect(ctx, o.URI, "")
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	w, err := create(o.Output, o.Replace, m.CreatedAt)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.discard())
		}
	}()
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error { return dump(ctx, tx, w, m, o.Say) })
	if err != nil {
		return nil, err
	}
	if m.Files, err = w.addFiles(o.DataDir, o.Say); err != nil {
		return nil, err
	}
	return m, w.finish(m)
}

// connect opens a connection that may stand still and work for as long as it takes.
func connect(ctx context.Context, uri, schema string) (*pgx.Conn, error) {
	dsn, err := postgres.ParseURI(uri)
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errs.E(errs.Invalid, postgres.ReasonURI, "The database address cannot be used.")
	}
	cfg.RuntimeParams["application_name"] = application
	cfg.RuntimeParams["timezone"] = "UTC"
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	cfg.RuntimeParams["statement_timeout"] = "0"
	cfg.RuntimeParams["lock_timeout"] = "30s"
	if schema != "" {
		cfg.RuntimeParams["search_path"] = schema
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, errs.Ef(errs.Unavailable, "backup.database", "The database does not answer at %s:%d.", cfg.Host, cfg.Port).With(err)
	}
	return conn, nil
}

// application names our connections in pg_stat_activity.
const application = "llmctl backup"

// dump copies all tables as one snapshot sees them.
func dump(ctx context.Context, tx pgx.Tx, w *writer, m *Manifest, say func(string)) error {
	var err error
	if m.Versions, err = postgres.ReadVersions(ctx, tx); err != nil {
		return errs.E(errs.Precondition, "backup.no_schema", "The database has no llmctl schema, so there is nothing to back up.").With(err)
	}
	if err := tx.QueryRow(ctx, "SHOW server_version").Scan(&m.Server); err != nil {
		return fmt.Errorf("ask for the server's version: %w", err)
	}
	if m.Tables, err = listTables(ctx, tx); err != nil {
		return err
	}
	for i := range m.Tables {
		if err := dumpTable(ctx, tx, w, &m.Tables[i]); err != nil {
			return err
		}
		if t := m.Tables[i]; t.Rows > 0 {
			say(fmt.Sprintf("%s: %d rows, %s", t.Name, t.Rows, Bytes(t.Bytes)))
		}
	}
	m.Sequences, err = listSequences(ctx, tx)
	return err
}

// Tables that a migration fills, and that say what was migrated.
const schemaTables = "'goose_db_version', 'river_migration', 'schema_level'"

// listTables gives the tables of the schema that tx sees, with the columns that
// can be copied: not generated ones, and no transaction ids, which mean nothing on
// another server. Copies of vectors are made anew (internal/rag/vector).
func listTables(ctx context.Context, tx pgx.Tx) ([]Table, error) {
	rows, err := tx.Query(ctx, `SELECT c.relname, array_agg(a.attname ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		  AND c.relname NOT IN (`+schemaTables+`, 'rag_vector')
		  AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.atttypid <> 'xid8'::regtype
		GROUP BY c.relname ORDER BY c.relname`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (Table, error) {
		var t Table
		err := r.Scan(&t.Name, &t.Columns)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return tables, nil
}

func dumpTable(ctx context.Context, tx pgx.Tx, w *writer, t *Table) error {
	out := w.item(tablePrefix + t.Name)
	sql := "COPY (SELECT " + columns(t.Columns) + " FROM " + pgx.Identifier{t.Name}.Sanitize() + ") TO STDOUT"
	tag, err := tx.Conn().PgConn().CopyTo(ctx, out, sql)
	if err != nil {
		return fmt.Errorf("copy table %s: %w", t.Name, err)
	}
	t.Rows = tag.RowsAffected()
	t.content, err = out.done()
	return err
}

func columns(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = pgx.Identifier{name}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

func listSequences(ctx context.Context, tx pgx.Tx) ([]Sequence, error) {
	rows, err := tx.Query(ctx, `SELECT relname FROM pg_class
		WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S' ORDER BY relname`)
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list sequences: %w", err)
	}
	all := make([]Sequence, 0, len(names))
	for _, name := range names {
		s := Sequence{Name: name}
		sql := "SELECT last_value, is_called FROM " + pgx.Identifier{name}.Sanitize()
		if err := tx.QueryRow(ctx, sql).Scan(&s.Value, &s.Called); err != nil {
			return nil, fmt.Errorf("read sequence %s: %w", name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// Bytes is a size for people.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	size, names := float64(n)/unit, []string{"KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; size >= unit && i < len(names)-1; i++ {
		size /= unit
	}
	return fmt.Sprintf("%.1f %s", size, names[i])
}
