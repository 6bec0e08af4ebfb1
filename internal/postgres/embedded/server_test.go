package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/errs"
)

// helperFlag makes this test binary start a server on the folder that follows
// and stay, so that a test can kill it.
const helperFlag = "-embedded-helper"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == helperFlag {
		os.Exit(helper(os.Args[2]))
	}
	goleak.VerifyTestMain(m)
}

func helper(dir string) int {
	s, err := Start(context.Background(), Options{DataDir: dir, Settings: fast(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stdout, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, s.PID())
	select {}
}

func fast() []string { return []string{"fsync=off", "shared_buffers=16MB"} }

// openDir is a folder that other accounts can pass, which t.TempDir is not.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	return dir
}

func options(t *testing.T, dir string) Options {
	t.Helper()
	return Options{
		DataDir: filepath.Join(dir, "data"), FallbackDir: filepath.Join(dir, "fallback"),
		Settings: fast(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	s, err := Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 30*time.Second)
	defer cancel()
	require.NoError(t, s.Stop(ctx))
}

func query(t *testing.T, s *Server, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.URI())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), sql)
	require.NoError(t, err)
	defer rows.Close()
	var text strings.Builder
	for rows.Next() {
		values, err := rows.Values()
		require.NoError(t, err)
		fmt.Fprint(&text, values...)
	}
	require.NoError(t, rows.Err())
	return text.String()
}

// awaitGone waits until a process is gone.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	gone, err := waitGone(t.Context(), pid, 30*time.Second)
	require.NoError(t, err)
	require.True(t, gone, "process %d still lives", pid)
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	s := start(t, o)
	require.Empty(t, query(t, s, "CREATE TABLE kept AS SELECT 'Ärger' AS word"))
	require.Equal(t, "C", query(t, s, "SELECT datcollate FROM pg_database WHERE datname = current_database()"))
	require.Equal(t, "UTF8", query(t, s, "SHOW server_encoding"))
	require.Equal(t, "on", query(t, s, "SHOW synchronous_commit"))
	require.Equal(t, "100", query(t, s, "SHOW max_connections"))
	require.Empty(t, query(t, s, "SHOW listen_addresses"))
	require.Equal(t, "ärger", query(t, s, "SELECT lower(word) FROM kept"))
	pid := s.PID()
	stop(t, s)
	require.False(t, alive(pid))
	require.NoFileExists(t, filepath.Join(s.Data(), "postmaster.pid"), "the stop was not clean")

	again := start(t, o)
	require.Equal(t, "Ärger", query(t, again, "SELECT word FROM kept"))
	require.Equal(t, s.Data(), again.Data())
	require.Equal(t, s.URI(), again.URI())
}

func TestNobodyElseGetsIn(t *testing.T) {
	t.Parallel()
	s := start(t, options(t, openDir(t)))
	info, err := os.Stat(s.socketDir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	info, err = os.Stat(s.place.passwordFile())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	_, err = pgx.Connect(t.Context(), strings.Replace(s.URI(), s.password, "guess", 1))
	require.ErrorContains(t, err, "password")
	_, err = pgx.Connect(t.Context(), strings.Replace(s.URI(), ":"+s.password, "", 1))
	require.Error(t, err)
}

func TestSecondProcessIsToldWhoHasTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := LockDataDir(dir)
	require.NoError(t, err)
	_, err = LockDataDir(dir)
	require.True(t, errs.HasReason(err, ReasonInUse))
	require.ErrorContains(t, err, fmt.Sprintf("process %d", os.Getpid()))
	_, err = Start(t.Context(), Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	require.True(t, errs.HasReason(err, ReasonInUse))
	first.Release()
	first.Release()
	second, err := LockDataDir(dir)
	require.NoError(t, err)
	second.Release()
}

func TestServerDiesWithItsKilledParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "data")
	cmd := exec.CommandContext(t.Context(), os.Args[0], helperFlag, dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	require.NoError(t, err, "helper said %q", line)
	require.True(t, alive(pid))
	require.NoError(t, cmd.Process.Kill())
	_, err = io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	awaitGone(t, pid)

	s := start(t, Options{DataDir: dir, Settings: fast(), Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.Equal(t, "1", query(t, s, "SELECT 1"))
}

func TestOrphanIsStopped(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	s := start(t, o)
	stop(t, s)

	orphan := s.Command()
	orphan.SysProcAttr.Pdeathsig = 0
	require.NoError(t, orphan.Start())
	ended := make(chan error, 1)
	go func() { ended <- orphan.Wait() }()
	awaitFile(t, filepath.Join(s.socketDir, ".s.PGSQL.5432"))

	again := start(t, o)
	require.NoError(t, <-ended, "the orphan was not stopped cleanly")
	require.NotEqual(t, orphan.Process.Pid, again.PID())
	require.Equal(t, "1", query(t, again, "SELECT 1"))
}

func awaitFile(t *testing.T, path string) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return err == nil
	}, 30*time.Second, 10*time.Millisecond)
}

func TestCrashIsSeenAndRecoveredFrom(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	s := start(t, o)
	require.NoError(t, s.Err())
	require.Empty(t, query(t, s, "CREATE TABLE kept AS SELECT 7 AS n"))
	require.NoError(t, syscall.Kill(s.PID(), syscall.SIGKILL))
	select {
	case <-s.Done():
	case <-time.After(30 * time.Second):
		require.Fail(t, "nobody noticed")
	}
	require.Error(t, s.Err())
	stop(t, s)
	require.FileExists(t, filepath.Join(s.Data(), "postmaster.pid"))
	require.Equal(t, "7", query(t, start(t, o), "SELECT n FROM kept"))
}

func TestStalePidFileOfAnotherProcessIsRemoved(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	s := start(t, o)
	stop(t, s)
	// A reused process id: a live process that is no postgres.
	stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n", os.Getpid(), s.Data(), s.socketDir)
	require.NoError(t, os.WriteFile(filepath.Join(s.Data(), "postmaster.pid"), []byte(stale), 0o600))
	require.Equal(t, "1", query(t, start(t, o), "SELECT 1"))
}

func TestLostPasswordIsReplaced(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	s := start(t, o)
	require.Empty(t, query(t, s, "CREATE TABLE kept AS SELECT 7 AS n"))
	stop(t, s)
	require.NoError(t, os.Remove(s.place.passwordFile()))
	again := start(t, o)
	require.NotEqual(t, s.password, again.password)
	require.Equal(t, "7", query(t, again, "SELECT n FROM kept"))
}

func TestInterruptedInitdbIsNoData(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	half := filepath.Join(o.DataDir, "postgres", "15.new")
	require.NoError(t, os.MkdirAll(half, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600))
	require.Equal(t, "1", query(t, start(t, o), "SELECT 1"))
}

func TestFolderOfRootsHomeIsAvoided(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root hands the server to another account")
	}
	dir := openDir(t)
	o := options(t, dir)
	home := filepath.Join(dir, "home")
	require.NoError(t, os.Mkdir(home, 0o700))
	o.DataDir = filepath.Join(home, "data")
	s := start(t, o)
	require.True(t, strings.HasPrefix(s.Data(), o.FallbackDir), s.Data())
	require.Empty(t, query(t, s, "CREATE TABLE kept AS SELECT 7 AS n"))
	stop(t, s)

	// The note, not the path, is what counts from then on.
	moved := filepath.Join(home, "elsewhere")
	require.NoError(t, os.Rename(o.DataDir, moved))
	o.DataDir = moved
	again := start(t, o)
	require.Equal(t, s.Data(), again.Data())
	require.Equal(t, "7", query(t, again, "SELECT n FROM kept"))
}

func TestLongPathsGetAShortSocketFolder(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	o.DataDir = filepath.Join(o.DataDir, strings.Repeat("long", 30))
	s := start(t, o)
	require.Less(t, len(s.socketDir), 60)
	require.Equal(t, "1", query(t, s, "SELECT 1"))
	stop(t, s)
	require.NoDirExists(t, s.socketDir)
}

func TestTCPWhenASocketCannotBeUsed(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	stop(t, start(t, o)) // makes the cluster
	s := &Server{opts: o}
	s.opts.complete()
	lock, err := LockDataDir(o.DataDir)
	require.NoError(t, err)
	s.opts.Lock, s.ownsLock = lock, true
	require.NoError(t, s.choose(t.Context()))
	require.NoError(t, s.ensureCluster(t.Context()))
	s.port, err = freePort()
	require.NoError(t, err)
	require.NoError(t, s.launch(t.Context()))
	t.Cleanup(func() { stop(t, s) })
	require.NoError(t, s.ensureDatabase(t.Context()))
	require.Equal(t, "127.0.0.1", query(t, s, "SHOW listen_addresses"))
}

func TestStartThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	t.Parallel()
	o := options(t, openDir(t))
	o.Settings = []string{"no_such_setting=1"}
	_, err := Start(t.Context(), o)
	require.True(t, errs.HasReason(err, ReasonStart))
	require.ErrorContains(t, err, "no_such_setting")
	lock, err := LockDataDir(o.DataDir)
	require.NoError(t, err, "the lock was kept")
	lock.Release()
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Start(ctx, options(t, openDir(t)))
	require.Error(t, err)
}

func TestStopInAHurryStillStops(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), options(t, openDir(t)))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.Stop(ctx) // it may win the race against the signal, so both answers are right
	require.False(t, alive(s.PID()))
}
