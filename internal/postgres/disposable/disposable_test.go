package disposable_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres/disposable"
)

func options(port int) disposable.Options {
	return disposable.Options{
		Logger: slog.New(slog.DiscardHandler), Port: port, Database: "llmctl_studio", User: "llmctl", Timeout: time.Minute,
		BinDir: os.Getenv("LLMCTL_POSTGRES_BIN_DIR"),
	}
}

// freePort is a port that nobody listens on, far from the default one.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func start(t *testing.T, o disposable.Options) *disposable.Server {
	t.Helper()
	s, err := disposable.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.WithoutCancel(t.Context()))) })
	return s
}

func ask(t *testing.T, uri, sql string) (answer string, err error) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	return answer, conn.QueryRow(t.Context(), sql).Scan(&answer)
}

func TestTakenPortLeadsToTheNext(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port

	s := start(t, options(taken))
	require.Greater(t, s.Port, taken)
	require.LessOrEqual(t, s.Port, taken+100)
	port, err := ask(t, s.URI, "SHOW port")
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(s.Port), port)

	strict := options(taken)
	strict.Strict = true
	_, err = disposable.Start(t.Context(), strict)
	require.True(t, errs.HasReason(err, disposable.ReasonPortTaken), "%v", err)
}

func TestSeveralAtOnceShareNothing(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	var all sync.WaitGroup
	servers := make([]*disposable.Server, 4)
	for i := range servers {
		all.Go(func() {
			s, err := disposable.Start(t.Context(), options(port))
			if err == nil {
				servers[i] = s
			}
		})
	}
	all.Wait()
	seen := map[int]bool{}
	for _, s := range servers {
		require.NotNil(t, s)
		require.False(t, seen[s.Port])
		seen[s.Port] = true
		_, err := ask(t, s.URI, "SELECT current_database()::text")
		require.NoError(t, err)
		require.NoError(t, s.Stop(t.Context()))
		_, err = ask(t, s.URI, "SELECT 1::text")
		require.Error(t, err)
	}
}

func TestWantedUserPasswordAndDatabase(t *testing.T) {
	t.Parallel()
	o := options(freePort(t))
	o.User, o.Password, o.Database = "tester", `it's "odd" \ %`, "other"
	s := start(t, o)
	user, err := ask(t, s.URI, "SELECT current_user || ' ' || current_database()")
	require.NoError(t, err)
	require.Equal(t, "tester other", user)

	o = options(freePort(t))
	o.Password = "llmctl"
	require.Contains(t, start(t, o).URI, "llmctl:llmctl@127.0.0.1:")
}

func TestKeptServerIsUsedAgainUntilItIsStopped(t *testing.T) {
	t.Parallel()
	o := options(freePort(t))
	o.Keep = true
	first, err := disposable.Start(t.Context(), o)
	require.NoError(t, err)
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_, _ = disposable.StopKept(context.WithoutCancel(t.Context()), o.Port, o.Logger)
		}
	})
	require.NoError(t, first.Stop(t.Context()))
	_, err = ask(t, first.URI, "SELECT 1::text")
	require.NoError(t, err, "it stays")

	o.Keep = false
	again := start(t, o)
	require.True(t, again.Reused)
	require.Equal(t, first.URI, again.URI)
	require.NoError(t, again.Stop(t.Context()))
	_, err = ask(t, first.URI, "SELECT 1::text")
	require.NoError(t, err, "who uses it does not end it")

	o.Durable = true
	require.NotEqual(t, o.Port, start(t, o).Port, "one of another kind is not used")

	pid, err := disposable.StopKept(t.Context(), o.Port, o.Logger)
	require.NoError(t, err)
	stopped = true
	require.Equal(t, first.PID, pid)
	_, err = ask(t, first.URI, "SELECT 1::text")
	require.Error(t, err)
	_, err = disposable.StopKept(t.Context(), o.Port, o.Logger)
	require.True(t, errs.HasReason(err, disposable.ReasonNoKept))
}

func TestKeptServerThatDiedIsReplaced(t *testing.T) {
	t.Parallel()
	o := options(freePort(t))
	o.Keep = true
	first, err := disposable.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := disposable.StopKept(context.WithoutCancel(t.Context()), o.Port, o.Logger)
		require.NoError(t, err)
	})
	process, err := os.FindProcess(first.PID)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
	require.Eventually(t, func() bool { _, err := ask(t, first.URI, "SELECT 1::text"); return err != nil }, 20*time.Second, 20*time.Millisecond)

	second, err := disposable.Start(t.Context(), o)
	require.NoError(t, err)
	require.False(t, second.Reused)
	require.NotEqual(t, first.PID, second.PID)
	_, err = ask(t, second.URI, "SELECT 1::text")
	require.NoError(t, err)
}

func TestNothingIsLeftInTheTemporaryFolder(t *testing.T) {
	t.Parallel()
	s := start(t, options(freePort(t)))
	data, err := ask(t, s.URI, "SHOW data_directory")
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context()))
	require.NoDirExists(t, filepath.Dir(filepath.Dir(data)))
}
