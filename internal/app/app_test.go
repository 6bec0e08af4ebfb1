package app_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/app"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// run runs a command line and gives its exit code and output.
func run(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = app.Main(context.Background(), app.Edge{
		Args: args, Environ: environ, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Now: time.Now,
	})
	return code, out.String(), errs.String()
}

func TestDatabaseCommands(t *testing.T) {
	t.Parallel()
	uri := pgtest.Empty(t)
	quick := []string{"LLMCTL_STUDIO_DB_HEALTHCHECK_TIMEOUT_SECONDS=0"}

	code, _, stderr := run(t, quick, "db", "check", "--database-uri", uri)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "llmctl db migrate", "what to do")

	code, stdout, _ := run(t, quick, "db", "migrate", "--database-uri", uri)
	require.Equal(t, 0, code)
	require.Equal(t, "The schema is current.\n", stdout)

	sqlalchemy := "postgresql+psycopg" + strings.TrimPrefix(strings.TrimPrefix(uri, "postgresql"), "postgres")
	code, stdout, _ = run(t, append(quick, "LLMCTL_STUDIO_DATABASE_URI="+sqlalchemy), "db", "check")
	require.Equal(t, 0, code)
	require.Equal(t, "Database health check passed.\n", stdout)

	code, _, stderr = run(t, quick, "db", "check", "--database-uri", "postgresql://nobody:hunter2@127.0.0.1:1/x")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "LLMCTL_STUDIO_DATABASE_URI")
	require.NotContains(t, stderr, "hunter2")
}

func TestBinaryRefusesASchemaThatIsTooNew(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	_, err := db.Exec(t.Context(), `UPDATE schema_level SET min_binary = 1000000`)
	require.NoError(t, err)
	for _, command := range []string{"check", "migrate"} {
		code, _, stderr := run(t, nil, "db", command, "--database-uri", db.Pool.Config().ConnString())
		require.Equal(t, 1, code)
		require.Contains(t, stderr, "newer release")
	}
}

func TestWrongConfigurationIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, []string{"GUNICORN_LOG_LEVEL=loud", "CELERY_WORKER_CONCURRENCY=none"}, "config", "check")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "GUNICORN_LOG_LEVEL")
	require.Contains(t, stderr, "CELERY_WORKER_CONCURRENCY")
	code, _, stderr = run(t, nil, "up", "--no-such-flag")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "no-such-flag")
	code, _, stderr = run(t, nil, "db", "check")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "LLMCTL_POSTGRES_HOST", "what is missing")
}

func TestConfigPrintHidesSecrets(t *testing.T) {
	t.Parallel()
	environ := []string{"LLMCTL_STUDIO_ADMIN_EMAIL=a@example.org", "LLMCTL_STUDIO_ADMIN_PASSWORD=hunter2hunter2"}
	for _, args := range [][]string{{"config", "print"}, {"config", "print", "--json"}} {
		code, stdout, _ := run(t, environ, args...)
		require.Equal(t, 0, code)
		require.Contains(t, stdout, "LLMCTL_STUDIO_ADMIN_PASSWORD")
		require.NotContains(t, stdout, "hunter2")
	}
}

func TestConfigurationReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run(t, nil, "config", "doc")
	require.Equal(t, 0, code)
	saved, err := os.ReadFile("../../docs/reference/configuration.md")
	require.NoError(t, err)
	require.Equal(t, string(saved), stdout, "run `make generate`")
}

func TestUpRefusesWhatItCannotHonour(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, []string{
		"LLMCTL_STUDIO_DATA_DIR=" + t.TempDir(), "LLMCTL_NODE_EXECUTOR_PROVIDER=kubernetes",
		"GUNICORN_BIND=127.0.0.1:1,127.0.0.1:2",
	}, "up", "--no-browser")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "GUNICORN_BIND")
	require.NotContains(t, stderr, "LLMCTL_NODE_EXECUTOR_PROVIDER", "it dispatches to a cluster as workers do")
	require.NotContains(t, stderr, "making a database", "it refuses before it begins anything")
}
