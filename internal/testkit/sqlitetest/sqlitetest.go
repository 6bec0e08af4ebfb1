// Package sqlitetest writes files as the original Studio left them: its tables,
// some hundred rows of ordinary life, and on demand the ugly rows that real
// files have. It must not know how they are imported.
package sqlitetest

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver
)

// Options say what is in a file.
type Options struct {
	ModelURL string // of the vLLM server that models 4 and 9 use; empty: a made-up one
	Runs     int    // of flowchart 1; 0: 100
	Ugly     bool   // rows that no program should have written
	Big      int    // bytes of one large output; 0: none
	WAL      bool   // leave the last rows in a write-ahead log
}

// Credentials in the file, which must never show up in clear text elsewhere.
const (
	OpenAIKey = "sk-original-0123456789abcdef"
	RemoteKey = "vllm-remote-key-0123456789"
	GitHubPAT = "ghp_0123456789abcdefghijklmnop"
	MCPToken  = "mcp-server-token-0123456789"
)

// Ids in the file that tests speak of.
const (
	Triage        = 1 // start -> task -> decision -> task or end
	AllKinds      = 2
	Ugly          = 3
	RemoteModelID = 4
)

// Write writes a file.
func Write(tb testing.TB, path string, o Options) {
	tb.Helper()
	require.NoError(tb, Generate(context.WithoutCancel(tb.Context()), path, o))
}

// Generate writes a file.
func Generate(ctx context.Context, path string, o Options) (err error) {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	w := &writer{ctx: ctx, db: db, o: o}
	if o.WAL {
		w.exec("PRAGMA journal_mode = WAL")
	}
	w.exec("BEGIN")
	tables := schema()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		w.exec("CREATE TABLE " + name + " (" + tables[name] + ")")
	}
	for _, index := range indexes() {
		w.exec(index)
	}
	w.settings()
	w.models()
	w.flowcharts()
	w.history()
	w.rest()
	if o.Ugly {
		w.ugly()
	}
	w.exec("COMMIT")
	return w.err
}

// Exec changes a file.
func Exec(tb testing.TB, path string, statements ...string) {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	require.NoError(tb, err)
	for _, s := range statements {
		_, err := db.ExecContext(tb.Context(), s)
		require.NoError(tb, err, s)
	}
	require.NoError(tb, db.Close())
}

// Count counts the rows of a table.
func Count(tb testing.TB, path, table string) int64 {
	tb.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	require.NoError(tb, err)
	defer func() { require.NoError(tb, db.Close()) }()
	var n int64
	require.NoError(tb, db.QueryRowContext(tb.Context(), "SELECT count(*) FROM "+table).Scan(&n))
	return n
}

// Tables lists the tables of a file.
func Tables() []string { return slices.Sorted(maps.Keys(schema())) }

type row = map[string]any

type writer struct {
	ctx context.Context //nolint:containedctx // a writer lives as long as one call
	db  *sql.DB
	o   Options
	err error
	n   int
}

func (w *writer) exec(statement string, args ...any) {
	if w.err != nil {
		return
	}
	if _, err := w.db.ExecContext(w.ctx, statement, args...); err != nil {
		w.err = fmt.Errorf("%s: %w", statement, err)
	}
}

// at is a moment in the original's way of writing.
func at(minutes int) string {
	return time.Date(2026, 1, 5, 8, 0, 0, 123456000, time.UTC).Add(time.Duration(minutes) * time.Minute).Format("2006-01-02 15:04:05.000000")
}

// add writes a row, with times of its own if it has none.
func (w *writer) add(table string, r row) {
	if strings.Contains(schema()[table], "updated_at") {
		w.n++
		if _, ok := r["created_at"]; !ok {
			r["created_at"] = at(w.n)
		}
		if _, ok := r["updated_at"]; !ok {
			r["updated_at"] = at(w.n + 1)
		}
	}
	names := slices.Sorted(maps.Keys(r))
	args := make([]any, len(names))
	for i, name := range names {
		args[i] = r[name]
	}
	w.exec("INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ")+")", args...)
}
