package ragtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/vector"
)

// Stores is what the conformance suite is run against.
type Stores struct {
	DB    func(tb testing.TB) *postgres.DB
	Store func(tb testing.TB, db *postgres.DB) vector.Store
	// Settle is called after each change of the index: whatever copies vectors must have done so on return.
	Settle func(tb testing.TB, store vector.Store)
	// Recall is the least share of the true nearest that a search of random vectors has to find: 1 for an exact one.
	Recall float64
	// Size is how many vectors the larger cases have; 0: 4000.
	Size int
	// Serial runs one case after the other.
	Serial bool
}

const suiteDimensions = 48

// Run runs the suite.
func (s Stores) Run(t *testing.T) {
	t.Helper()
	if s.Size == 0 {
		s.Size = 4000
	}
	for name, f := range map[string]func(t *testing.T, s Stores){
		"the nearest are found in order":               nearestInOrder,
		"only the visible revision is searched":        onlyVisible,
		"a filter leaves enough results":               filterRefills,
		"vectors of another embedder are not compared": otherEmbedder,
		"a question of other dimensions is refused":    otherDimensions,
		"a question without direction finds nothing":   noDirection,
		"chunks without a vector are left out":         withoutVector,
		"several sources are searched as one":          severalSources,
		"equal vectors are all found, in order of ids": equalVectors,
	} {
		t.Run(name, func(t *testing.T) {
			if !s.Serial {
				t.Parallel()
			}
			f(t, s)
		})
	}
}

// search asks like the searcher does: it prepares, then asks within one snapshot.
func search(tb testing.TB, db *postgres.DB, store vector.Store, e vector.Embedder, sources []scope.Source, query vector.Query) ([]vector.Hit, error) {
	tb.Helper()
	ctx := tb.Context()
	prepared, err := store.Prepare(ctx, e, sources)
	if err != nil {
		return nil, err
	}
	defer prepared.Release()
	tx, err := db.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	require.NoError(tb, err)
	defer func() { require.NoError(tb, tx.Rollback(context.WithoutCancel(ctx))) }()
	return prepared.Search(ctx, tx, query)
}

// Random gives n vectors around a few centres, as texts lie, the same ones for the same seed.
func Random(seed uint64, n, dimensions int) [][]float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	centres := make([][]float32, 20)
	for i := range centres {
		centres[i] = normal(r, dimensions, nil, 1)
	}
	out := make([][]float32, n)
	for i := range out {
		out[i] = normal(r, dimensions, centres[r.IntN(len(centres))], 0.7)
	}
	return out
}

func normal(r *rand.Rand, dimensions int, around []float32, spread float64) []float32 {
	v := make([]float32, dimensions)
	for i := range v {
		v[i] = float32(r.NormFloat64() * spread)
		if around != nil {
			v[i] += around[i]
		}
	}
	return v
}

// FilesOf puts vectors into files of ten chunks; every tenth file is of the language go, the others markdown.
func FilesOf(vectors [][]float32) []File {
	var files []File
	for i, v := range vectors {
		if i%10 == 0 {
			f := File{Path: fmt.Sprintf("dir%d/file%05d.md", i/10%7, i/10), Kind: "markdown"}
			if i/10%10 == 0 {
				f.Kind, f.Language = "code", "go"
			}
			files = append(files, f)
		}
		f := &files[len(files)-1]
		f.Chunks = append(f.Chunks, Chunk{Text: fmt.Sprintf("text %d %v", i, v[:min(1, len(v))]), Context: f.Path, Vector: v})
	}
	return files
}

type suiteSource struct {
	*Source

	db       *postgres.DB
	store    vector.Store
	embedder vector.Embedder
}

func (s Stores) source(t *testing.T, vectors [][]float32) suiteSource {
	t.Helper()
	db := s.DB(t)
	src := NewSource(t, db, t.Name())
	src.Embedder = NewEmbedder(t, db, suiteDimensions)
	src.Write(t, FilesOf(vectors)...)
	src.Show(t)
	store := s.Store(t, db)
	s.Settle(t, store)
	return suiteSource{Source: src, db: db, store: store, embedder: vector.Embedder{ID: src.Embedder, Dimensions: suiteDimensions}}
}

func (s suiteSource) scope() []scope.Source { return []scope.Source{{ID: s.ID, Revision: s.Revision}} }

func (s suiteSource) search(t *testing.T, query vector.Query) []vector.Hit {
	t.Helper()
	hits, err := search(t, s.db, s.store, s.embedder, s.scope(), query)
	require.NoError(t, err)
	return hits
}

// truth gives the ids of the k nearest by comparing all, in the order of ids when equal.
func (s suiteSource) truth(t *testing.T, question []float32, k int, paths string) []vector.Hit {
	t.Helper()
	rows, err := s.db.Query(t.Context(), `SELECT c.id, e.vector FROM rag_chunk c JOIN rag_file f ON f.id = c.rag_file_id JOIN rag_source s ON s.id = f.rag_source_id
		JOIN rag_embedding e ON e.content_hash = c.content_hash AND e.rag_embedder_id = $2
		WHERE s.id = $1 AND f.from_revision <= s.index_revision AND (f.to_revision IS NULL OR f.to_revision > s.index_revision) AND f.path LIKE $3`, s.ID, s.embedder.ID, paths)
	require.NoError(t, err)
	var all []vector.Hit
	var id int64
	var raw []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &raw}, func() error {
		all = append(all, vector.Hit{ChunkID: id, Score: float32(Cosine(question, Decode(raw)))})
		return nil
	})
	require.NoError(t, err)
	sort.Slice(all, func(i, j int) bool {
		if all[i].Score != all[j].Score {
			return all[i].Score > all[j].Score
		}
		return all[i].ChunkID < all[j].ChunkID
	})
	return all[:min(k, len(all))]
}

// share is how much of truth was found.
func share(found, truth []vector.Hit) float64 {
	ids := map[int64]bool{}
	for _, h := range found {
		ids[h.ChunkID] = true
	}
	n := 0
	for _, h := range truth {
		if ids[h.ChunkID] {
			n++
		}
	}
	return float64(n) / float64(max(1, len(truth)))
}

func requireOrdered(t *testing.T, hits []vector.Hit) {
	t.Helper()
	require.True(t, sort.SliceIsSorted(hits, func(i, j int) bool {
		if hits[i].Score != hits[j].Score {
			return hits[i].Score > hits[j].Score
		}
		return hits[i].ChunkID < hits[j].ChunkID
	}))
}

func nearestInOrder(t *testing.T, s Stores) {
	t.Helper()
	src := s.source(t, Random(1, s.Size, suiteDimensions))
	total := 0.0
	questions := Random(1, 20, suiteDimensions) // of the same centres
	for _, q := range questions {
		hits := src.search(t, vector.Query{Vector: q, K: 10})
		truth := src.truth(t, q, 10, "%")
		require.Len(t, hits, 10)
		requireOrdered(t, hits)
		require.InDelta(t, truth[0].Score, hits[0].Score, 1e-5, "the nearest one is missed")
		total += share(hits, truth)
	}
	recall := total / float64(len(questions))
	t.Logf("recall@10 of %d questions: %.3f", len(questions), recall)
	require.GreaterOrEqual(t, recall, s.Recall)
}

func onlyVisible(t *testing.T, s Stores) {
	t.Helper()
	vectors := Random(2, 300, suiteDimensions)
	src := s.source(t, vectors)
	question := vectors[0]
	first := src.search(t, vector.Query{Vector: question, K: 1})
	old := src.ChunkIDs(t, "dir0/file00000.md")
	require.Equal(t, old[0], first[0].ChunkID)

	// A revision is written: the file that answers is replaced, another one removed, one added that would answer.
	src.Write(t, File{Path: "dir0/file00000.md", Kind: "markdown", Chunks: []Chunk{{Text: "new", Vector: vectors[50]}}},
		File{Path: "added.md", Kind: "markdown", Chunks: []Chunk{{Text: "added", Vector: question}}})
	src.Remove(t, "dir1/file00001.md")
	s.Settle(t, src.store)
	require.Equal(t, first, src.search(t, vector.Query{Vector: question, K: 1}), "what is written shows before it is made visible")

	before := src.scope()
	src.Show(t)
	src.Clean(t)
	s.Settle(t, src.store)
	_, err := search(t, src.db, src.store, src.embedder, before, vector.Query{Vector: question, K: 1})
	if err != nil { // a store that kept the old revision may still answer from it, whole
		require.ErrorIs(t, err, vector.ErrMoved)
	}
	after := src.search(t, vector.Query{Vector: question, K: 300})
	require.Equal(t, src.ChunkIDs(t, "added.md")[0], after[0].ChunkID)
	require.Len(t, after, 300-10-10+2)
	for _, h := range after {
		require.NotContains(t, old, h.ChunkID, "a chunk of the replaced file is found")
	}
}

func filterRefills(t *testing.T, s Stores) {
	t.Helper()
	src := s.source(t, Random(3, s.Size, suiteDimensions))
	for i, q := range Random(3, 3, suiteDimensions) {
		hits := src.search(t, vector.Query{Vector: q, K: 20, Filter: scope.Filter{Paths: []string{"dir3/**"}}})
		require.Len(t, hits, 20)
		require.GreaterOrEqual(t, share(hits, src.truth(t, q, 20, "dir3/%")), s.Recall, "question %d", i)
		// So few chunks that an index would have to be walked far: all of them must come.
		one := src.search(t, vector.Query{Vector: q, K: 20, Filter: scope.Filter{Paths: []string{"file00007.md"}}})
		require.Equal(t, src.truth(t, q, 20, "%/file00007.md"), roundTo(one, src.truth(t, q, 20, "%/file00007.md")))
	}
	require.Empty(t, src.search(t, vector.Query{Vector: Random(3, 1, suiteDimensions)[0], K: 5, Filter: scope.Filter{Languages: []string{"cobol"}}}))
}

// roundTo takes the scores of truth where they differ in the last bits only.
func roundTo(hits, truth []vector.Hit) []vector.Hit {
	out := append([]vector.Hit{}, hits...)
	for i := range min(len(out), len(truth)) {
		if d := out[i].Score - truth[i].Score; d < 1e-5 && d > -1e-5 {
			out[i].Score = truth[i].Score
		}
	}
	return out
}

func otherEmbedder(t *testing.T, s Stores) {
	t.Helper()
	src := s.source(t, Random(4, 50, suiteDimensions))
	other := NewSource(t, src.db, t.Name()+" other")
	other.Embedder = NewEmbedder(t, src.db, suiteDimensions)
	other.Write(t, FilesOf(Random(5, 50, suiteDimensions))...)
	other.Show(t)
	s.Settle(t, src.store)
	// Asked for a source whose vectors somebody else made: it has moved to another embedder.
	_, err := src.store.Prepare(t.Context(), src.embedder, []scope.Source{{ID: other.ID, Revision: other.Revision}})
	require.ErrorIs(t, err, vector.ErrMoved)
	require.Len(t, src.search(t, vector.Query{Vector: Random(4, 1, suiteDimensions)[0], K: 100}), 50)
}

func otherDimensions(t *testing.T, s Stores) {
	t.Helper()
	src := s.source(t, Random(6, 20, suiteDimensions))
	_, err := search(t, src.db, src.store, src.embedder, src.scope(), vector.Query{Vector: make([]float32, suiteDimensions+1), K: 3})
	require.True(t, errs.HasReason(err, vector.ReasonDimensions), "%v", err)
}

func noDirection(t *testing.T, s Stores) {
	t.Helper()
	src := s.source(t, Random(7, 20, suiteDimensions))
	require.Empty(t, src.search(t, vector.Query{Vector: make([]float32, suiteDimensions), K: 3}))
}

func withoutVector(t *testing.T, s Stores) {
	t.Helper()
	vectors := Random(8, 20, suiteDimensions)
	vectors[3], vectors[4] = nil, make([]float32, suiteDimensions) // none, and one without direction
	src := s.source(t, vectors)
	hits := src.search(t, vector.Query{Vector: vectors[0], K: 100})
	require.Len(t, hits, 19)
	ids := src.ChunkIDs(t, "dir0/file00000.md")
	for _, h := range hits {
		require.NotEqual(t, ids[3], h.ChunkID)
		if h.ChunkID == ids[4] {
			require.Zero(t, h.Score)
		}
	}
}

func severalSources(t *testing.T, s Stores) {
	t.Helper()
	vectors := Random(9, 200, suiteDimensions)
	src := s.source(t, vectors[:100])
	other := NewSource(t, src.db, t.Name()+" other")
	other.Embedder = src.embedder.ID
	other.Write(t, FilesOf(vectors[100:])...)
	other.Show(t)
	s.Settle(t, src.store)
	both := append(src.scope(), scope.Source{ID: other.ID, Revision: other.Revision})
	for _, i := range []int{7, 107} {
		hits, err := search(t, src.db, src.store, src.embedder, both, vector.Query{Vector: vectors[i], K: 200})
		require.NoError(t, err)
		require.Len(t, hits, 200)
		require.InDelta(t, 1, hits[0].Score, 1e-5)
	}
}

func equalVectors(t *testing.T, s Stores) {
	t.Helper()
	v := Random(10, 1, suiteDimensions)[0]
	src := s.source(t, [][]float32{v, v, v, v, v})
	hits := src.search(t, vector.Query{Vector: v, K: 3})
	require.Len(t, hits, 3)
	requireOrdered(t, hits)
	require.InDelta(t, 1, hits[2].Score, 1e-5)
}
