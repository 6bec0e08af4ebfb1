package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/config"
)

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, warnings, err := config.Load(config.LoadOptions{Environ: []string{
		"LLMCTL_STUDIO_DB_HEALTHCHECK_ENABLED=maybe", "CELERY_WORKER_CONCURRENCY=0", "GUNICORN_LOG_LEVEL=loud",
		"LLMCTL_STUDIO_SOCKETIO_TRANSPORTS=websocket,pigeon", "LLMCTL_STUDIO_SOCKETIO_PING_TIMEOUT=soon", "LLMCTL_STUDIO_DATADIR=x",
	}})
	var problems config.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 5)
	for _, want := range []string{
		`LLMCTL_STUDIO_DB_HEALTHCHECK_ENABLED: is "maybe"; accepted are 1, true`, `CELERY_WORKER_CONCURRENCY: is 0; 1 or more`,
		`"loud"; accepted are debug, info`, `"pigeon"`, `"soon"; a number of seconds`,
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, []string{"LLMCTL_STUDIO_DATADIR is set, but nothing reads it; did you mean LLMCTL_STUDIO_DATA_DIR?"}, warnings)
}

func TestSourcesOverrideEachOther(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "env")
	require.NoError(t, os.WriteFile(file, []byte("CELERY_WORKER_CONCURRENCY=7\nGUNICORN_BIND=0.0.0.0:1\nFLASK_PORT=2\n"), 0o600))
	c, _, err := config.Load(config.LoadOptions{
		EnvFile: file, Environ: []string{"GUNICORN_BIND=0.0.0.0:3", "LLMCTL_STUDIO_DATA_DIR=/e"}, Flags: map[string]string{"LLMCTL_STUDIO_DATA_DIR": "/f"},
	})
	require.NoError(t, err)
	require.Equal(t, 7, c.Worker.Concurrency)
	require.Equal(t, "0.0.0.0:3", c.Gunicorn.Address())
	require.Equal(t, "/f", c.Studio.DataDir)
	require.Equal(t, 25*time.Second, c.SocketIO.PingInterval.Duration())
	require.Equal(t, config.FromFile, c.Sources["CELERY_WORKER_CONCURRENCY"])
	require.Equal(t, config.FromEnv, c.Sources["GUNICORN_BIND"])
	require.Equal(t, config.FromFlag, c.Sources["LLMCTL_STUDIO_DATA_DIR"])
	require.Equal(t, config.FromDefault, c.Sources["LLMCTL_STUDIO_API_PREFIX"])
}

func TestDatabaseAddress(t *testing.T) {
	t.Parallel()
	load := func(environ ...string) (string, error) {
		c, _, err := config.Load(config.LoadOptions{Environ: environ})
		require.NoError(t, err)
		return c.Database.Resolve()
	}
	uri, err := load("LLMCTL_POSTGRES_HOST=h", "LLMCTL_POSTGRES_PORT=5", "LLMCTL_POSTGRES_DB=d", "LLMCTL_POSTGRES_USER=u@x", "LLMCTL_POSTGRES_PASSWORD=p/w")
	require.NoError(t, err)
	require.Equal(t, "postgresql://u%40x:p%2Fw@h:5/d", uri)
	_, err = load("LLMCTL_POSTGRES_HOST=h", "LLMCTL_POSTGRES_PORT=5")
	require.ErrorContains(t, err, "LLMCTL_POSTGRES_DB, LLMCTL_POSTGRES_USER, LLMCTL_POSTGRES_PASSWORD")
	_, err = load("LLMCTL_STUDIO_DATABASE_URI=sqlite:///x.db")
	require.ErrorContains(t, err, "llmctl db import-sqlite")
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	c, _, err := config.Load(config.LoadOptions{Environ: []string{"LLMCTL_STUDIO_ADMIN_PASSWORD=hunter2hunter2"}})
	require.NoError(t, err)
	var table bytes.Buffer
	require.NoError(t, c.Print(&table))
	raw, err := json.Marshal(c)
	require.NoError(t, err)
	for _, text := range []string{table.String(), string(raw), fmt.Sprintf("%v %+v %#v", c.Studio, c.Studio, c.Studio.AdminPassword)} {
		require.NotContains(t, text, "hunter2")
	}
	require.Equal(t, "hunter2hunter2", c.Studio.AdminPassword.Reveal())
}

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	var doc bytes.Buffer
	require.NoError(t, config.WriteDoc(&doc))
	const golden = "../../docs/reference/configuration.md"
	saved, err := os.ReadFile(golden)
	require.NoError(t, err, "run `make generate`")
	require.Equal(t, string(saved), doc.String(), "run `make generate`")
}
