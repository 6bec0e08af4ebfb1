package ragpgvector

import (
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

//nolint:paralleltest // one database, whose server works off one statement at a time
func TestPgvectorConforms(t *testing.T) {
	ragtest.Stores{
		DB:    database,
		Store: func(_ testing.TB, db *postgres.DB) vector.Store { return pgvector(db) },
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
		Size:   500,
	}.Run(t)
}

// pgvector walks the index although there are few chunks: the server is slow.
func pgvector(db *postgres.DB) *vector.Pgvector {
	return vector.NewPgvector(vector.PgvectorOptions{DB: db, Now: hurried(), Few: 40})
}

// hurried is a clock by which "not ready" is never believed for long.
func hurried() func() time.Time {
	at := time.Now()
	return func() time.Time {
		at = at.Add(time.Hour)
		return at
	}
}

const dimensions = 24

func source(t *testing.T, db *postgres.DB, dimensions int, vectors [][]float32) *ragtest.Source {
	t.Helper()
	s := ragtest.NewSource(t, db, t.Name())
	s.Embedder = ragtest.NewEmbedder(t, db, dimensions)
	s.Write(t, ragtest.FilesOf(vectors)...)
	s.Show(t)
	return s
}

func sweep(t *testing.T, p *vector.Pgvector) vector.Swept {
	t.Helper()
	swept, err := p.Sweep(t.Context())
	require.NoError(t, err)
	require.True(t, swept.Ready, swept.Message)
	return swept
}

// within asks in a snapshot and gives what its statements did to the index of an embedder.
func within(t *testing.T, db *postgres.DB, prepared vector.Prepared, query vector.Query, embedder int64) (hits []vector.Hit, scans int64) {
	t.Helper()
	tx, err := db.Pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	hits, err = prepared.Search(t.Context(), tx, query)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT coalesce(pg_stat_get_xact_numscans(to_regclass($1)), 0)`,
		"rag_vector_hnsw_"+strconv.FormatInt(embedder, 10)).Scan(&scans))
	return hits, scans
}

//nolint:paralleltest // see above
func TestAutoSearchesExactlyUntilThePgvectorIndexIsFilled(t *testing.T) {
	db := database(t)
	vectors := ragtest.Random(21, 300, dimensions)
	s := source(t, db, dimensions, vectors)
	pg := pgvector(db)
	auto := vector.NewAuto(vector.NewExact(db, 0), pg)
	embedder := vector.Embedder{ID: s.Embedder, Dimensions: dimensions}
	ask := func(backend string) ([]vector.Hit, int64) {
		prepared, err := auto.Prepare(t.Context(), embedder, []scope.Source{{ID: s.ID, Revision: s.Revision}})
		require.NoError(t, err)
		require.Equal(t, backend, prepared.Backend())
		return within(t, db, prepared, vector.Query{Vector: vectors[77], K: 10}, s.Embedder)
	}
	exact, scans := ask(vector.BackendExact)
	require.Zero(t, scans)

	swept := sweep(t, pg)
	require.Equal(t, 300, swept.Copied)
	require.Equal(t, 1, swept.Indexed)
	walked, scans := ask(vector.BackendPgvector)
	require.Positive(t, scans, "the search did not use its index")
	require.Equal(t, exact[0].ChunkID, walked[0].ChunkID)
	again := sweep(t, pg)
	require.Zero(t, again.Copied+again.Indexed)

	// A new revision has a vector that is not copied yet.
	s.Write(t, ragtest.File{Path: "new.md", Kind: "markdown", Chunks: []ragtest.Chunk{{Text: "new", Vector: ragtest.Random(22, 1, dimensions)[0]}}})
	s.Show(t)
	ask(vector.BackendExact)
	require.Equal(t, 1, sweep(t, pg).Copied)
	ask(vector.BackendPgvector)

	// What is removed takes its copies along.
	_, err := db.Exec(t.Context(), `DELETE FROM rag_embedding WHERE rag_embedder_id = $1`, s.Embedder)
	require.NoError(t, err)
	var left int
	require.NoError(t, db.QueryRow(t.Context(), `SELECT count(*) FROM rag_vector WHERE rag_embedder_id = $1`, s.Embedder).Scan(&left))
	require.Zero(t, left)
}

//nolint:paralleltest // see above
func TestMoreThanTwoThousandDimensionsAreIndexedInHalfPrecision(t *testing.T) {
	db := database(t)
	vectors := ragtest.Random(23, 60, 2001)
	s := source(t, db, 2001, vectors)
	pg := pgvector(db)
	sweep(t, pg)
	prepared, err := pg.Prepare(t.Context(), vector.Embedder{ID: s.Embedder, Dimensions: 2001}, []scope.Source{{ID: s.ID, Revision: s.Revision}})
	require.NoError(t, err)
	hits, scans := within(t, db, prepared, vector.Query{Vector: vectors[5], K: 3}, s.Embedder)
	require.Positive(t, scans)
	require.InDelta(t, 1, hits[0].Score, 1e-5, "the score is that of the whole vector")
}

// A restored backup replaces the table of the vectors: what was copied before may belong to another embedder then.
//
//nolint:paralleltest // see above
func TestCopiesThatLostTheirOriginalsAreMadeAnew(t *testing.T) {
	db := database(t)
	vectors := ragtest.Random(24, 100, dimensions)
	s := source(t, db, dimensions, vectors)
	pg := pgvector(db)
	sweep(t, pg)
	prepare := func() error {
		_, err := pgvector(db).Prepare(t.Context(), vector.Embedder{ID: s.Embedder, Dimensions: dimensions}, []scope.Source{{ID: s.ID, Revision: s.Revision}})
		return err
	}
	require.NoError(t, prepare())
	_, err := db.Exec(t.Context(), `ALTER TABLE rag_vector DROP CONSTRAINT rag_vector_rag_embedder_id_content_hash_fkey`)
	require.NoError(t, err)
	require.ErrorContains(t, prepare(), "there is no index")
	require.GreaterOrEqual(t, sweep(t, pg).Copied, 100)
	require.NoError(t, prepare())
}
