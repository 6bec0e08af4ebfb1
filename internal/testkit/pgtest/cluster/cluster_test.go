package cluster

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// helperFlag makes this test binary start a server and end when its input does.
const helperFlag = "-cluster-helper"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == helperFlag {
		os.Exit(helper())
	}
	goleak.VerifyTestMain(m)
}

func helper() int {
	kit := New(setup())
	admin, err := kit.startOwn(context.Background())
	fmt.Fprintln(os.Stdout, admin, err)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	kit.lock.Release()
	return 0
}

func setup() Setup {
	return Setup{Key: "cluster test 1", Migrate: func(ctx context.Context, uri string) error {
		return administer(ctx, uri, "CREATE TABLE thing (id bigint PRIMARY KEY)")
	}}
}

var shared = sync.OnceValue(func() *Kit { return New(setup()) })

func TestEveryTestHasAMigratedDatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			pool := shared().DB(t)
			_, err := pool.Exec(t.Context(), "INSERT INTO thing VALUES (1)")
			require.NoError(t, err)
			var n int
			require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM thing").Scan(&n))
			require.Equal(t, 1, n)
		})
	}
}

func TestDatabaseIsDroppedWithItsConnections(t *testing.T) {
	t.Parallel()
	kit, uri := shared(), ""
	t.Run("test", func(t *testing.T) {
		uri = kit.URI(t)
		conn, err := pgx.Connect(t.Context(), uri)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	})
	_, err := pgx.Connect(t.Context(), uri)
	require.ErrorContains(t, err, "does not exist")
}

func TestGivenServerIsUsed(t *testing.T) {
	t.Parallel()
	uri := shared().URI(t)
	kit := New(Setup{Key: t.Name(), Migrate: setup().Migrate})
	require.NoError(t, kit.makeTemplate(t.Context(), uri))
	require.NoError(t, kit.makeTemplate(t.Context(), uri), "the second binary finds it")
	kit.once.Do(func() { kit.admin = uri })
	var n int
	require.NoError(t, kit.DB(t).QueryRow(t.Context(), "SELECT count(*) FROM thing").Scan(&n))
}

func TestFailedMigrationIsReportedAndNotCached(t *testing.T) {
	t.Parallel()
	kit := New(Setup{Key: "broken", Migrate: func(context.Context, string) error { return os.ErrInvalid }})
	uri := shared().URI(t)
	require.ErrorIs(t, kit.makeTemplate(t.Context(), uri), os.ErrInvalid)
	kit.setup.Migrate = setup().Migrate
	require.NoError(t, kit.makeTemplate(t.Context(), uri))
}

// startHelper runs another test binary with a server, and gives its address.
func startHelper(t *testing.T) (cmd *exec.Cmd, admin, run string) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], helperFlag)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // the test may have killed it
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	admin, result, _ := strings.Cut(strings.TrimSpace(line), " ")
	require.Equal(t, "<nil>", result)
	config, err := pgx.ParseConfig(admin)
	require.NoError(t, err)
	return cmd, admin, filepath.Dir(filepath.Dir(config.Host))
}

func TestNothingIsLeftWhenABinaryIsKilled(t *testing.T) {
	t.Parallel()
	cmd, admin, run := startHelper(t)
	require.NoError(t, administer(t.Context(), admin, "SELECT 1"))
	require.DirExists(t, run)
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool {
		_, err := os.Stat(run)
		return os.IsNotExist(err)
	}, 30*time.Second, 10*time.Millisecond, "the keeper did not clean up")
	require.Error(t, administer(t.Context(), admin, "SELECT 1"))
}

func TestBinariesHaveServersOfTheirOwn(t *testing.T) {
	t.Parallel()
	_, first, run1 := startHelper(t)
	_, second, run2 := startHelper(t)
	require.NotEqual(t, run1, run2)
	require.NoError(t, administer(t.Context(), first, "CREATE DATABASE only_here"))
	require.ErrorContains(t, administer(t.Context(), onDatabase(second, "only_here"), "SELECT 1"), "does not exist")
}

func TestSweepLeavesACopyThatIsInUse(t *testing.T) {
	t.Parallel()
	uri := shared().URI(t)
	runtime.GC() // an unreachable lock would be released here
	runtime.GC()
	base, err := temporary()
	require.NoError(t, err)
	sweep(base)
	require.NoError(t, administer(t.Context(), uri, "SELECT 1"))
}

func TestSweepRemovesOnlyWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dead, fresh := filepath.Join(base, runPrefix+"dead"), filepath.Join(base, runPrefix+"fresh")
	require.NoError(t, os.MkdirAll(filepath.Join(dead, "postgres"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dead, "llmctl.lock"), nil, 0o600))
	require.NoError(t, os.Mkdir(fresh, 0o700))
	sweep(base)
	require.NoDirExists(t, dead)
	require.DirExists(t, fresh)
}

func TestCacheKeepsTheNewest(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	for i := range 8 {
		dir := filepath.Join(cache, strconv.Itoa(i))
		require.NoError(t, os.Mkdir(dir, 0o700))
		at := time.Unix(int64(1_700_000_000+i), 0)
		require.NoError(t, os.Chtimes(dir, at, at))
	}
	clean(cache, filepath.Join(cache, "0"))
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	names := make([]string, 0, len(left))
	for _, e := range left {
		names = append(names, e.Name())
	}
	require.Equal(t, []string{"0", "4", "5", "6", "7"}, names)
}

func TestHashFollowsNamesAndContents(t *testing.T) {
	t.Parallel()
	one := HashFS(fstest.MapFS{"a": {Data: []byte("x")}})
	require.Equal(t, one, HashFS(fstest.MapFS{"a": {Data: []byte("x")}}))
	require.NotEqual(t, one, HashFS(fstest.MapFS{"a": {Data: []byte("y")}}))
	require.NotEqual(t, one, HashFS(fstest.MapFS{"b": {Data: []byte("x")}}))
}
