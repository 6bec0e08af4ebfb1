package sqliteimport

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/llmctl/studio/internal/errs"
)

// fileHeader is how every SQLite file begins that is not encrypted.
const fileHeader = "SQLite format 3\x00"

// source is the original's file, open for reading.
type source struct {
	db     *sql.DB
	path   string
	stamp  stamp
	copied string // folder of the private copy, or empty
	tables map[string]*table
}

// table is what the file says of one of its tables.
type table struct {
	name    string
	columns []string
	key     []string // primary key columns
	rows    int64
}

func (t *table) has(column string) bool { return slices.Contains(t.columns, column) }

// stamp tells whether a file changed.
type stamp struct {
	size  int64
	mtime time.Time
}

// openSource opens the file and makes sure that it is the original's. Errors are
// invalid (missing, no SQLite file, not the original's), conflict (in use).
func openSource(ctx context.Context, path string) (*source, error) {
	s := &source{path: path}
	if err := s.check(); err != nil {
		return nil, err
	}
	dsn, err := s.prepare()
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.db, err = sql.Open("sqlite", dsn); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), s.close())
	}
	s.db.SetMaxOpenConns(4) // a table is read while others are looked up
	if err := s.readable(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.readSchema(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *source) close() error {
	var err error
	if s.db != nil {
		err = s.db.Close()
	}
	if s.copied != "" {
		err = errors.Join(err, os.RemoveAll(s.copied))
	}
	return err
}

func refuse(reason, format string, args ...any) *errs.Error {
	return errs.Ef(errs.Invalid, "import."+reason, format, args...)
}

// check refuses what is no file that can be read, or is in use.
func (s *source) check() error {
	info, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return refuse("missing", "There is no file %s. Give the original's database with --sqlite-path.", s.path).With(err)
	case err != nil:
		return refuse("unreadable", "The file %s cannot be read: %s.", s.path, plainCause(err)).With(err)
	case info.IsDir():
		return refuse("unreadable", "%s is a folder; the database file in it is usually called llmctl-studio.sqlite3.", s.path)
	case !info.Mode().IsRegular():
		return refuse("unreadable", "%s is not a regular file.", s.path)
	}
	s.stamp = stamp{info.Size(), info.ModTime()}
	f, err := os.Open(s.path)
	if err != nil {
		return refuse("unreadable", "The file %s cannot be read: %s.", s.path, plainCause(err)).With(err)
	}
	defer func() { _ = f.Close() }()
	head := make([]byte, len(fileHeader))
	if n, err := io.ReadFull(f, head); err != nil && n == 0 {
		return refuse("not_sqlite", "The file %s is empty.", s.path)
	}
	if !bytes.Equal(head, []byte(fileHeader)) {
		return refuse("not_sqlite", "The file %s is no SQLite database, or an encrypted one: it does not begin as one. Decrypt it first if it is encrypted.", s.path)
	}
	pid, used, err := inUse(s.path)
	if err != nil {
		return fmt.Errorf("look for locks of %s: %w", s.path, err)
	}
	if used {
		return errs.Ef(errs.Conflict, "import.in_use",
			"The file %s is in use by process %d. Stop the original system first, so that what is copied is whole.", s.path, pid)
	}
	return nil
}

func plainCause(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

// prepare gives the address to open. A file whose last changes still lie beside
// it is copied, because applying them means writing.
func (s *source) prepare() (string, error) {
	pending := s.pending()
	if len(pending) == 0 {
		return dsn(s.path, "mode=ro&immutable=1"), nil
	}
	dir, err := os.MkdirTemp("", "llmctl-import-")
	if err != nil {
		return "", fmt.Errorf("make a folder for a copy of %s: %w", s.path, err)
	}
	s.copied = dir
	target := filepath.Join(dir, "source.sqlite3")
	for _, suffix := range append([]string{""}, pending...) {
		if err := copyFile(s.path+suffix, target+suffix); err != nil {
			return "", refuse("unreadable",
				"The last changes of %s lie in %s, and a copy of both could not be made: %s. Make room in the temporary folder, or let the original's sqlite3 fold them in (PRAGMA wal_checkpoint(TRUNCATE)).",
				s.path, filepath.Base(s.path)+suffix, plainCause(err)).With(err)
		}
	}
	return dsn(target, "mode=rw"), nil
}

// pending lists the suffixes of files that hold changes which are not in the
// database file yet.
func (s *source) pending() []string {
	var out []string
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(s.path + suffix); err == nil && info.Size() > 0 {
			out = append(out, suffix)
		}
	}
	return out
}

func dsn(path, query string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	u := url.URL{Scheme: "file", Path: path, RawQuery: query + "&_pragma=query_only(1)&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"}
	return u.String()
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// readable proves that the pages can be read before anything is written.
func (s *source) readable(ctx context.Context) error {
	var verdict string
	err := s.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict)
	if err != nil {
		return s.explain(err)
	}
	if verdict != "ok" {
		return refuse("damaged", "The file %s is damaged: %s. Restore a backup, or salvage it with sqlite3's .recover.", s.path, verdict)
	}
	return nil
}

// explain turns the driver's errors into something to act upon.
func (s *source) explain(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Errorf("read %s: %w", s.path, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return refuse("not_sqlite", "The file %s is encrypted or no SQLite database.", s.path).With(err)
	case sqlite3.SQLITE_CORRUPT:
		return refuse("damaged", "The file %s is damaged. Restore a backup, or salvage it with sqlite3's .recover.", s.path).With(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return errs.Ef(errs.Conflict, "import.in_use", "The file %s is in use. Stop the original system first.", s.path).With(err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		return refuse("unreadable", "The file %s cannot be opened: %s.", s.path, e.Error()).With(err)
	}
	return fmt.Errorf("read %s: %w", s.path, err)
}

// unchanged fails when the file was written to since it was opened.
func (s *source) unchanged() error {
	info, err := os.Stat(s.path)
	if err != nil || (stamp{info.Size(), info.ModTime()}) != s.stamp || (s.copied == "" && len(s.pending()) > 0) {
		return errs.Ef(errs.Conflict, "import.changed", "The file %s was changed while it was read. Stop the original system and try again.", s.path).With(err)
	}
	return nil
}

// essential are the tables without which a file is not the original's.
func essential() []string {
	return []string{
		"agent_tasks", "flowchart_edges", "flowchart_nodes", "flowchart_run_nodes", "flowchart_runs", "flowcharts",
		"integration_settings", "llm_models",
	}
}

func (s *source) readSchema(ctx context.Context) error {
	names, err := s.tableNames(ctx)
	if err != nil {
		return err
	}
	s.tables = make(map[string]*table, len(names))
	for _, name := range names {
		t := &table{name: name}
		if err := s.readColumns(ctx, t); err != nil {
			return err
		}
		if err := s.db.QueryRowContext(ctx, "SELECT count(*) FROM "+quoted(name)).Scan(&t.rows); err != nil {
			return s.explain(err)
		}
		s.tables[name] = t
	}
	var missing []string
	for _, name := range essential() {
		if t := s.tables[name]; t == nil || !t.has("id") {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return refuse("not_the_original", "The file %s is not a database of the original Studio: it lacks the tables %s (each with a column id).", s.path, strings.Join(missing, ", "))
	}
	return nil
}

func (s *source) tableNames(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name FROM sqlite_schema
		WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name`)
	if err != nil {
		return nil, s.explain(err)
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, s.explain(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, s.explain(err)
	}
	return names, nil
}

func (s *source) readColumns(ctx context.Context, t *table) error {
	rows, err := s.db.QueryContext(ctx, "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid", t.name)
	if err != nil {
		return s.explain(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		var pk int
		if err := rows.Scan(&name, &pk); err != nil {
			return s.explain(err)
		}
		t.columns = append(t.columns, name)
		if pk > 0 {
			t.key = append(t.key, name)
		}
	}
	if err := rows.Err(); err != nil {
		return s.explain(err)
	}
	return nil
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
