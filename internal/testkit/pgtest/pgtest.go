// Package pgtest gives each test a database of its own on a real PostgreSQL: a
// copy of a template that this binary's migrations made. Where the server comes
// from, and how it ends, is told in the package cluster.
package pgtest

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/testkit/pgtest/cluster"
)

// poolSize is enough for the concurrency that tests play with.
const poolSize = 8

// kit is made once per test binary: a server and a template take most of a
// second, a database some tens of milliseconds.
//
//nolint:gochecknoglobals // see above
var kit = sync.OnceValue(func() *cluster.Kit {
	return cluster.New(cluster.Setup{Key: cluster.HashFS(postgres.Migrations()), Migrate: migrate})
})

// DB gives a pool on a fresh, migrated database. It is closed when the test ends.
func DB(tb testing.TB) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(context.WithoutCancel(tb.Context()), postgres.Options{URI: URI(tb), MaxConns: poolSize})
	require.NoError(tb, err)
	tb.Cleanup(db.Close)
	return db
}

// URI gives the address of a fresh, migrated database, dropped when the test ends.
func URI(tb testing.TB) string {
	tb.Helper()
	return kit().URI(tb)
}

// Empty gives the address of a fresh database without a schema.
func Empty(tb testing.TB) string {
	tb.Helper()
	return kit().Empty(tb)
}

func migrate(ctx context.Context, uri string) error {
	db, err := postgres.Open(ctx, postgres.Options{URI: uri})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Migrate(ctx, slog.New(slog.DiscardHandler))
}
