package embedded_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

// TestMain can become the parent of a server that is then killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LLMCTL_TEST_PARENT"); dir != "" {
		s, err := embedded.Start(context.Background(), options(dir))
		if err != nil {
			panic(err)
		}
		_, _ = os.Stdout.WriteString(s.URI() + "\n")
		select {}
	}
	os.Exit(m.Run())
}

func options(dir string) embedded.Options {
	return embedded.Options{DataDir: dir, Settings: []string{"fsync=off"}, Logger: slog.New(slog.DiscardHandler)}
}

// openDir is a data dir that the server's account can reach.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "llmctl-embedded-") //nolint:usetesting // t.TempDir() is closed to others
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func start(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), options(dir))
	require.NoError(t, err)
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

func query(t *testing.T, uri, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	var out string
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&out))
	return out
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := start(t, dir)
	require.Equal(t, "on", query(t, s.URI(), `SHOW synchronous_commit`))
	conn, err := pgx.Connect(t.Context(), s.URI())
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `CREATE TABLE t AS SELECT 7 AS n`)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	s.Stop(t.Context())
	<-s.Done()
	require.Equal(t, "7", query(t, start(t, dir).URI(), `SELECT n::text FROM t`))
}

func TestServerDiesWithItsParentAndTheNextStartIsClean(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	parent := exec.CommandContext(t.Context(), os.Args[0])
	parent.Env = append(parent.Environ(), "LLMCTL_TEST_PARENT="+dir)
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	buf := make([]byte, 1000)
	n, err := out.Read(buf)
	require.NoError(t, err)
	require.Contains(t, string(buf[:n]), "postgresql://")
	require.NoError(t, parent.Process.Signal(syscall.SIGKILL))
	_ = parent.Wait()
	require.Equal(t, "1", query(t, start(t, dir).URI(), `SELECT '1'`))
}

func TestStalePidFileDoesNotStopAStart(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	s := start(t, dir)
	s.Stop(t.Context())
	<-s.Done()
	found, err := filepath.Glob(filepath.Join(dir, "postgres", "*", "PG_VERSION"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	// The number of a process that lives, but is not a database server.
	pid := filepath.Join(filepath.Dir(found[0]), "postmaster.pid")
	require.NoError(t, os.WriteFile(pid, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600))
	require.Equal(t, "1", query(t, start(t, dir).URI(), `SELECT '1'`))
}

func TestMissingBinariesNameTheRemedy(t *testing.T) {
	t.Parallel()
	o := options(openDir(t))
	o.BinDir = "/nowhere"
	_, err := embedded.Start(t.Context(), o)
	require.True(t, errs.HasReason(err, "postgres.missing"), "%v", err)
	require.ErrorContains(t, err, "LLMCTL_POSTGRES_BIN_DIR")
}

func TestDataOfAnotherMajorNamesIt(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "postgres", "9"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres", "9", "PG_VERSION"), []byte("9\n"), 0o600))
	_, err := embedded.Start(t.Context(), options(dir))
	require.True(t, errs.HasReason(err, "postgres.wrong_major"), "%v", err)
	require.ErrorContains(t, err, "postgresql-9")
}

func TestSecondProcessIsToldWhoHasTheDataDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := embedded.LockDataDir(dir)
	require.NoError(t, err)
	_, err = embedded.LockDataDir(dir)
	require.True(t, errs.HasReason(err, "datadir.in_use"), "%v", err)
	require.ErrorContains(t, err, strconv.Itoa(os.Getpid()))
	l.Release()
	again, err := embedded.LockDataDir(dir)
	require.NoError(t, err)
	again.Release()
}
