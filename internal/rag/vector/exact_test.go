package vector_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func TestExactConforms(t *testing.T) {
	t.Parallel()
	ragtest.Stores{
		DB:     pgtest.DB,
		Store:  func(_ testing.TB, db *postgres.DB) vector.Store { return vector.NewExact(db, 0) },
		Settle: func(testing.TB, vector.Store) {},
		Recall: 1,
	}.Run(t)
}

// Where the server has no pgvector, what decides between the two is the exact search.
func TestAutoConformsWithoutTheExtension(t *testing.T) {
	t.Parallel()
	ragtest.Stores{
		DB: pgtest.DB,
		Store: func(_ testing.TB, db *postgres.DB) vector.Store {
			return vector.NewAuto(vector.NewExact(db, 0), vector.NewPgvector(vector.PgvectorOptions{DB: db, Now: time.Now}))
		},
		Settle: func(testing.TB, vector.Store) {},
		Recall: 1,
	}.Run(t)
}

func TestSweepSaysThatTheServerHasNoPgvector(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	var offered bool
	require.NoError(t, db.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')`).Scan(&offered))
	swept, err := vector.NewPgvector(vector.PgvectorOptions{DB: db, Now: time.Now}).Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, offered, swept.Ready)
	if !offered {
		require.Contains(t, swept.Message, "does not offer")
	}
}

type exactBundle struct {
	*ragtest.Source

	db       *postgres.DB
	embedder vector.Embedder
	vectors  [][]float32
}

func setup(t *testing.T, n int) exactBundle {
	t.Helper()
	db := pgtest.DB(t)
	const dimensions = 32
	s := ragtest.NewSource(t, db, t.Name())
	s.Embedder = ragtest.NewEmbedder(t, db, dimensions)
	vectors := ragtest.Random(42, n, dimensions)
	s.Write(t, ragtest.FilesOf(vectors)...)
	s.Show(t)
	return exactBundle{Source: s, db: db, embedder: vector.Embedder{ID: s.Embedder, Dimensions: dimensions}, vectors: vectors}
}

func (b exactBundle) scope() []scope.Source { return []scope.Source{{ID: b.ID, Revision: b.Revision}} }

func TestASourceThatDoesNotFitIntoTheCacheIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, 200)
	_, err := vector.NewExact(b.db, 200*32).Prepare(t.Context(), b.embedder, b.scope())
	var large *vector.TooLargeError
	require.ErrorAs(t, err, &large)
	require.Equal(t, b.ID, large.SourceID)
	require.Greater(t, large.Bytes, large.Limit)
}

func TestManyWaitForOneLoading(t *testing.T) {
	t.Parallel()
	b := setup(t, 2000)
	exact := vector.NewExact(b.db, 0)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, err := exact.Prepare(t.Context(), b.embedder, b.scope())
			require.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 1, exact.Loadings())
}

func TestARevisionIsLoadedFromItsPredecessor(t *testing.T) {
	t.Parallel()
	b := setup(t, 500)
	exact := vector.NewExact(b.db, 0)
	_, err := exact.Prepare(t.Context(), b.embedder, b.scope())
	require.NoError(t, err)

	b.Write(t, ragtest.File{Path: "added.md", Kind: "markdown", Chunks: []ragtest.Chunk{{Text: "added", Vector: b.vectors[3]}}})
	b.Remove(t, "dir0/file00000.md")
	// The vectors of what stays are broken: who reads them anew fails.
	_, err = b.db.Exec(t.Context(), `UPDATE rag_embedding e SET vector = '\x00' FROM rag_chunk c WHERE c.content_hash = e.content_hash AND c.text <> 'added'`)
	require.NoError(t, err)
	b.Show(t)
	_, err = exact.Prepare(t.Context(), b.embedder, b.scope())
	require.NoError(t, err)
	_, err = vector.NewExact(b.db, 0).Prepare(t.Context(), b.embedder, b.scope())
	require.ErrorContains(t, err, "stored vector has another length")
}

func TestALoadingEndsWithThoseWhoWaitForIt(t *testing.T) {
	t.Parallel()
	b := setup(t, 50)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	exact := vector.NewExact(b.db, 0)
	_, err := exact.Prepare(ctx, b.embedder, b.scope())
	require.ErrorIs(t, err, context.Canceled)
	_, err = exact.Prepare(t.Context(), b.embedder, b.scope())
	require.NoError(t, err, "who comes later is not told of another's cancel")
}

// Two searches at once, each of which fits alone: the second finds the same without a copy.
func TestASearchWithoutRoomReadsTheStoredVectors(t *testing.T) {
	t.Parallel()
	b := setup(t, 200)
	other := ragtest.NewSource(t, b.db, t.Name()+" other")
	other.Embedder = b.Embedder
	other.Write(t, ragtest.FilesOf(ragtest.Random(43, 200, 32))...)
	other.Show(t)
	exact := vector.NewExact(b.db, 300*(32+16)+8*30)
	exact.Hurry(time.Millisecond)
	held, err := exact.Prepare(t.Context(), b.embedder, b.scope())
	require.NoError(t, err)
	both := append(b.scope(), scope.Source{ID: other.ID, Revision: other.Revision})
	search := func(sources []scope.Source) []vector.Hit {
		p, err := exact.Prepare(t.Context(), b.embedder, sources)
		require.NoError(t, err)
		defer p.Release()
		hits, err := p.Search(t.Context(), b.db, vector.Query{Vector: b.vectors[7], K: 50})
		require.NoError(t, err)
		return hits
	}
	reference := vector.NewExact(b.db, 0)
	prepared, err := reference.Prepare(t.Context(), b.embedder, both)
	require.NoError(t, err)
	want, err := prepared.Search(t.Context(), b.db, vector.Query{Vector: b.vectors[7], K: 50})
	require.NoError(t, err)
	require.Equal(t, want, search(both))
	require.EqualValues(t, 1, exact.Stats().WithoutIndexes)
	require.LessOrEqual(t, exact.Stats().Held, exact.Stats().Limit)
	held.Release()
	search([]scope.Source{{ID: other.ID, Revision: other.Revision}})
	require.EqualValues(t, 1, exact.Stats().WithoutIndexes, "there is room now")
}
