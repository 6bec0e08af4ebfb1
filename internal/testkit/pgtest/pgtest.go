// Package pgtest gives each test a database of its own on a real PostgreSQL: a
// copy of a migrated template, made in some 50 ms and dropped afterwards.
//
// The server is the one that LLMCTL_TEST_DATABASE_URI names (`llmctl db with-test`
// sets it), else one that this test process starts and that ends with it.
package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/postgres/embedded"
)

// EnvURI names the variable with the address of a server for tests.
const EnvURI = "LLMCTL_TEST_DATABASE_URI"

// DB gives a pool on a fresh, migrated database.
func DB(tb testing.TB) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(context.Background(), postgres.Options{URI: URI(tb), MaxConns: 8})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	return db
}

// URI gives the address of a fresh, migrated database.
func URI(tb testing.TB) string {
	tb.Helper()
	template, err := prepare()
	require.NoError(tb, err)
	return create(tb, fmt.Sprintf(`TEMPLATE %q STRATEGY file_copy`, template))
}

// Empty gives the address of a fresh database without a schema.
func Empty(tb testing.TB) string {
	tb.Helper()
	_, err := server()
	require.NoError(tb, err)
	return create(tb, "")
}

func create(tb testing.TB, options string) string {
	tb.Helper()
	ctx := context.Background()
	name := "llmctl_test_" + hex.EncodeToString(uuid.New().NodeID()) + uuid.NewString()[:8]
	exec(tb, fmt.Sprintf(`CREATE DATABASE %q %s`, name, options))
	tb.Cleanup(func() { exec(tb, fmt.Sprintf(`DROP DATABASE IF EXISTS %q WITH (FORCE)`, name)) })
	base, err := server()
	require.NoError(tb, err)
	uri, err := withDatabase(base, name)
	require.NoError(tb, err)
	require.NoError(tb, ctx.Err())
	return uri
}

func exec(tb testing.TB, sql string) {
	tb.Helper()
	base, err := server()
	require.NoError(tb, err)
	db, err := postgres.Open(context.Background(), postgres.Options{URI: base})
	require.NoError(tb, err)
	defer db.Close()
	_, err = db.Exec(context.Background(), sql)
	require.NoError(tb, err)
}

func withDatabase(uri, name string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("parse %s: %w", EnvURI, err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// The server and the template are made once a process: starting and migrating
// for every test would take most of its time.
var (
	server  = sync.OnceValues(startServer)  //nolint:gochecknoglobals // see above
	prepare = sync.OnceValues(makeTemplate) //nolint:gochecknoglobals // see above
)

// startServer gives the address of a server. One of our own keeps its data in a
// folder named after this process; those of processes that are gone are removed.
func startServer() (string, error) {
	if uri := os.Getenv(EnvURI); uri != "" {
		return uri, nil
	}
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "llmctl-pgtest-*"))
	for _, dir := range old {
		if lock, err := embedded.LockDataDir(dir); err == nil {
			_ = os.RemoveAll(dir)
			lock.Release()
		}
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("llmctl-pgtest-%d", os.Getpid()))
	if _, err := embedded.LockDataDir(dir); err != nil {
		return "", err
	}
	s, err := embedded.Start(context.Background(), embedded.Options{
		DataDir: dir, Settings: []string{"fsync=off", "max_connections=300"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", err
	}
	return s.URI(), nil // it ends with this process
}

// makeTemplate migrates a database that the tests' ones are copies of. Several
// test processes share one on a shared server; its name holds the migrations'
// hash, and it gets that name only when it is complete.
func makeTemplate() (string, error) {
	ctx := context.Background()
	base, err := server()
	if err != nil {
		return "", err
	}
	name, err := templateName()
	if err != nil {
		return "", err
	}
	admin, err := postgres.Open(ctx, postgres.Options{URI: base})
	if err != nil {
		return "", err
	}
	defer admin.Close()
	var there bool
	if err := admin.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return name, err
	}
	making := "llmctl_making_" + uuid.NewString()
	if _, err := admin.Exec(ctx, fmt.Sprintf(`CREATE DATABASE %q`, making)); err != nil {
		return "", err
	}
	uri, err := withDatabase(base, making)
	if err != nil {
		return "", err
	}
	db, err := postgres.Open(ctx, postgres.Options{URI: uri})
	if err != nil {
		return "", err
	}
	err = db.Migrate(ctx, slog.New(slog.DiscardHandler))
	db.Close()
	if err != nil {
		return "", err
	}
	if _, err := admin.Exec(ctx, fmt.Sprintf(`ALTER DATABASE %q RENAME TO %q`, making, name)); err != nil {
		// Another process was first; its template is as good.
		_, err = admin.Exec(ctx, fmt.Sprintf(`DROP DATABASE %q`, making))
		return name, err
	}
	return name, nil
}

func templateName() (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(postgres.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(postgres.Migrations(), path)
		hash.Write([]byte(path))
		hash.Write(raw)
		return err
	})
	return "llmctl_template_" + hex.EncodeToString(hash.Sum(nil)[:8]), err
}
