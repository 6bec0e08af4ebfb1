package ragpgvector

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

//nolint:paralleltest // one database, whose server works off one statement at a time
func TestPgvectorConforms(t *testing.T) {
	ragtest.Stores{
		DB:    database,
		Store: func(_ testing.TB, db *postgres.DB) vector.Store { return vector.NewPgvector(db, hurried()) },
		Settle: func(tb testing.TB, store vector.Store) {
			tb.Helper()
			p, ok := store.(*vector.Pgvector)
			require.True(tb, ok)
			swept, err := p.Sweep(tb.Context())
			require.NoError(tb, err)
			require.True(tb, swept.Ready, swept.Message)
		},
		Recall: 0.9,
		Serial: true,
	}.Run(t)
}

// hurried is a clock by which "not ready" is never believed for long.
func hurried() func() time.Time {
	at := time.Now()
	return func() time.Time {
		at = at.Add(time.Hour)
		return at
	}
}
