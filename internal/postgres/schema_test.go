package postgres_test

import (
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

var update = flag.Bool("update", false, "write the golden file anew") //nolint:gochecknoglobals,nolintlint // a flag of the test binary

// describe asks the catalogue, so that the text is the same on every version of
// PostgreSQL.
const describe = `
SELECT 'table ' || c.relname AS line, c.relname AS rel, 0 AS kind, 0 AS nth
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r' AND c.relname !~ '^(river_|goose_)'
UNION ALL
SELECT '    ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
       || CASE WHEN a.attidentity <> '' THEN ' identity' ELSE coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') END, c.relname, 1, a.attnum
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname = 'public' AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND c.relname !~ '^(river_|goose_)'
UNION ALL
SELECT '    constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid), c.relname, 2, 0
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND k.contype <> 'n' AND c.relname !~ '^(river_|goose_)'
UNION ALL
SELECT '    ' || indexdef, tablename, 3, 0 FROM pg_indexes WHERE schemaname = 'public' AND tablename !~ '^(river_|goose_)'
UNION ALL
SELECT '    ' || pg_get_triggerdef(t.oid), c.relname, 4, 0
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND c.relname !~ '^(river_|goose_)'
ORDER BY rel, kind, nth, line`

// TestSchema keeps the end state of all migrations readable in one file.
func TestSchema(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	rows, err := db.Query(t.Context(), describe)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var line, rel string
		var kind, nth int
		err := row.Scan(&line, &rel, &kind, &nth)
		return line, err
	})
	require.NoError(t, err)
	got := "-- The schema after all migrations, for reading. `make generate` writes it.\n" + strings.Join(lines, "\n") + "\n"
	const golden = "schema.sql"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644)) //nolint:gosec,nolintlint // a source file
		return
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run `make generate`")
}

func TestMigrationsAreNumberedWithoutGaps(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(postgres.Migrations(), "*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for i, name := range names {
		require.True(t, strings.HasPrefix(name, fmt.Sprintf("%05d_", i+1)), "%s is not number %d", name, i+1)
	}
}

func TestMigrateIsIdempotentAndRunsOnceAtATime(t *testing.T) {
	t.Parallel()
	uri := pgtest.Empty(t)
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			db, err := postgres.Open(t.Context(), postgres.Options{URI: uri})
			if err == nil {
				err = db.Preflight(t.Context(), postgres.PreflightOptions{Migrate: true, Logger: slog.New(slog.DiscardHandler), Timeout: time.Minute, Interval: time.Second})
				db.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
}

func TestProcessesWaitUntilTheSchemaIsThatOfTheirRelease(t *testing.T) {
	t.Parallel()
	db, err := postgres.Open(t.Context(), postgres.Options{URI: pgtest.Empty(t)})
	require.NoError(t, err)
	t.Cleanup(db.Close)
	quiet := slog.New(slog.DiscardHandler)
	newest, err := postgres.Newest()
	require.NoError(t, err)
	require.NoError(t, db.MigrateTo(t.Context(), postgres.Versions{Schema: newest.Schema - 1}, quiet))

	once := postgres.PreflightOptions{Timeout: time.Millisecond, Interval: time.Second, Logger: quiet}
	require.ErrorContains(t, db.Preflight(t.Context(), once), fmt.Sprintf("it has version %d (queue %d), needed are %d", newest.Schema-1, newest.Queue, newest.Schema))
	require.NoError(t, db.Migrate(t.Context(), quiet))
	require.NoError(t, db.Preflight(t.Context(), once))
}
