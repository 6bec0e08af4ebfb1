package app_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogSettingsAreCheckedLikeAllOthers(t *testing.T) {
	t.Parallel()
	code, _, stderr := run(t, []string{"GUNICORN_ACCESS_LOG_FORMAT=%(z)s", "GUNICORN_LOG_LEVEL=loud"}, "config", "check")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, `GUNICORN_ACCESS_LOG_FORMAT is "%(z)s"; want known atoms; "%(z)s" is none; accepted are h l u t r`)
	require.Contains(t, stderr, "GUNICORN_LOG_LEVEL", "all problems at once")
	code, _, stderr = run(t, []string{`GUNICORN_ACCESS_LOG_FORMAT=%(h)s "%(r)s" %({x-forwarded-for}i)s`}, "config", "check")
	require.Equal(t, 0, code, stderr)
}

func TestLogsThatCannotBeOpenedAreNamedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	environ := []string{
		"GUNICORN_ACCESS_LOG=" + dir, "GUNICORN_ERROR_LOG=" + filepath.Join(dir, "no", "error.log"),
		"LLMCTL_STUDIO_DATA_DIR=" + dir, "LLMCTL_STUDIO_DATABASE_URI=postgresql://nobody@127.0.0.1:1/x",
		"LLMCTL_STUDIO_SECRET_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
	}
	for _, role := range []string{"serve", "up"} {
		code, _, stderr := run(t, environ, role)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, `GUNICORN_ACCESS_LOG is "`+dir+`"; want a file, not a folder`)
		require.Contains(t, stderr, `error.log"; want a file in a folder that exists`)
	}
	code, _, stderr := run(t, environ, "worker")
	require.Equal(t, 2, code)
	require.NotContains(t, stderr, "GUNICORN_ACCESS_LOG ", "a worker answers nobody")
}
