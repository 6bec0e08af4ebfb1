package sqliteimport_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/testkit/sqlitetest"
)

func TestUnusableFilesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, content, 0o600))
		return path
	}
	good, err := os.ReadFile(b.path)
	require.NoError(t, err)
	damaged := append([]byte{}, good...)
	for i := 8192; i < len(damaged)-8192; i += 3 {
		damaged[i] ^= 0xff
	}
	other := filepath.Join(dir, "other.sqlite3")
	sqlitetest.Exec(t, other, "CREATE TABLE songs (id INTEGER PRIMARY KEY)")
	old := filepath.Join(dir, "old.sqlite3")
	require.NoError(t, os.WriteFile(old, good, 0o600))
	sqlitetest.Exec(t, old, "DROP TABLE llm_models", "ALTER TABLE flowchart_runs RENAME COLUMN id TO number")

	for name, c := range map[string]struct{ path, reason, message string }{
		"missing":          {filepath.Join(dir, "nothing"), "import.missing", "--sqlite-path"},
		"a folder":         {dir, "import.unreadable", "is a folder"},
		"empty":            {file("empty", nil), "import.not_sqlite", "is empty"},
		"text":             {file("text", []byte("-- SQL dump of something, longer than a header")), "import.not_sqlite", "encrypted"},
		"short":            {file("short", []byte("SQLite")), "import.not_sqlite", "is no SQLite database"},
		"cut":              {file("cut", good[:len(good)/2]), "import.damaged", "damaged"},
		"damaged":          {file("damaged", damaged), "import.damaged", "damaged"},
		"a header only":    {file("head", append([]byte("SQLite format 3\x00"), make([]byte, 200)...)), "import.not_sqlite", "encrypted or no SQLite"},
		"another program":  {other, "import.not_the_original", "agent_tasks, flowchart_edges"},
		"without a table":  {old, "import.not_the_original", "it lacks the tables flowchart_runs, llm_models"},
		"a strange device": {os.DevNull, "import.unreadable", "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := b.options()
			o.Path = c.path
			b := *b
			b.t = t
			require.Contains(t, b.fails(o, c.reason).Message, c.message)
		})
	}
}

func TestBatchSizeMustBePositive(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	o := b.options()
	o.BatchSize = 0
	b.fails(o, "import.batch_size")
}

func TestFileInUseIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	release := hold(t, b.path)
	e := b.fails(b.options(), "import.in_use")
	require.Contains(t, e.Message, "Stop the original system")
	release()
	b.run(b.options())
}

// The last rows may lie in the log beside the file. They are read, and neither
// the file nor the log is touched.
func TestRowsInAWriteAheadLogAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	dir := t.TempDir()
	source := b.path
	db, err := sql.Open("sqlite", "file:"+source)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range []string{"PRAGMA journal_mode = WAL", "PRAGMA wal_autocheckpoint = 0", "INSERT INTO flowcharts (id, name) VALUES (900, 'late')"} {
		_, err = db.ExecContext(t.Context(), s)
		require.NoError(t, err)
	}
	// As after a crash: the file and its log, and nobody who has them open.
	b.path = filepath.Join(dir, "llmctl-studio.sqlite3")
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(source + suffix)
		require.NoError(t, err)
		require.NotEmpty(t, raw)
		require.NoError(t, os.WriteFile(b.path+suffix, raw, 0o600))
	}
	require.NoError(t, db.Close())
	before := fileSum(t, b.path)
	b.run(b.options())
	require.Equal(t, "late", one[string](b, `SELECT name FROM flowchart WHERE id = 900`))
	require.Equal(t, before, fileSum(t, b.path))
}

func TestReadOnlyFolderAndOddNamesAreNoObstacle(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	dir := filepath.Join(t.TempDir(), "a folder? #1 100%")
	require.NoError(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "x&y=z.sqlite3")
	require.NoError(t, os.Rename(b.path, path))
	require.NoError(t, os.Chmod(path, 0o400))
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	b.path = path
	rep := b.run(b.options())
	require.Equal(t, path, rep.Source)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestOldFileWithoutLaterTablesAndColumnsIsTaken(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	sqlitetest.Exec(t, b.path, "DROP TABLE chat_threads", "DROP TABLE rag_sources", "DROP TABLE agents", "ALTER TABLE agent_tasks DROP COLUMN dispatch_status",
		"ALTER TABLE flowchart_run_nodes DROP COLUMN degraded_status", "ALTER TABLE flowcharts DROP COLUMN max_parallel_nodes")
	rep := b.run(b.options())
	for _, r := range rep.Tables {
		require.NotEqual(t, "chat_threads", r.Table)
	}
	require.Equal(t, int64(100), one[int64](b, `SELECT count(*) FROM flowchart_run`))
	require.Equal(t, "dispatch_pending", one[string](b, `SELECT DISTINCT dispatch_status FROM node_attempt`))
}

func TestFileThatChangesMeanwhileIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	o := b.options()
	o.Removed = nil
	touched := false
	o.Progress = func(table string, _, _ int64) {
		if table == "agent_tasks" && !touched {
			touched = true
			f, err := os.OpenFile(b.path, os.O_APPEND|os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteString(strings.Repeat("\x00", 4096))
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
	}
	clock := time.Now()
	o.Now = func() time.Time { clock = clock.Add(time.Minute); return clock }
	b.fails(o, "import.changed")
	require.Zero(t, one[int64](b, `SELECT count(*) FROM flowchart`))
}

func TestMissingSchemaSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	b := setup(t, sqlitetest.Options{})
	b.exec(`DROP TABLE imported_row`)
	require.Contains(t, b.fails(b.options(), "import.schema_too_old").Message, "llmctl db migrate")
}
