package search_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/pgtest"
	"github.com/llmctl/studio/internal/testkit/ragtest"
)

const qualityDimensions = 512

// quality is recall among the first five and the mean of the reciprocal ranks.
type quality struct{ recall, mrr float64 }

func measure(tb testing.TB, s *search.Searcher, source *ragtest.Source, mode string, questions []ragtest.Labelled) quality {
	tb.Helper()
	recall, mrr := ragtest.Quality(tb, questions, func(question string) []string {
		r, err := s.Search(tb.Context(), search.Request{
			Question: question, SourceIDs: []int64{source.ID}, Mode: mode, TopK: 5,
			Vectors: map[int64][]float32{source.Embedder: ragtest.Vector(question, qualityDimensions)},
		})
		require.NoError(tb, err)
		return paths(r.Results)
	})
	return quality{recall: recall, mrr: mrr}
}

func documentation(tb testing.TB) (*search.Searcher, *ragtest.Source) {
	tb.Helper()
	db := pgtest.DB(tb)
	source := ragtest.NewSource(tb, db, "documentation")
	source.Embedder = ragtest.NewEmbedder(tb, db, qualityDimensions)
	source.Words = search.Words
	source.Write(tb, ragtest.Embedded(ragtest.Documentation(tb), ragtest.Vector, qualityDimensions)...)
	source.Show(tb)
	_, err := db.Exec(tb.Context(), "ANALYZE rag_chunk, rag_file")
	require.NoError(tb, err)
	return search.New(search.Options{DB: db, Vectors: vector.NewExact(db, 0), Now: time.Now}), source
}

// The floors lie well below what is measured (docs/operations/retrieval-search.md): they catch what breaks, not noise.
func TestQuestionsFindThePagesThatAnswerThem(t *testing.T) {
	t.Parallel()
	s, source := documentation(t)
	_, heldOut := ragtest.Halves(ragtest.Questions())
	for mode, floor := range map[string]quality{
		search.ModeLexical: {recall: 0.70, mrr: 0.50},
		search.ModeVector:  {recall: 0.60, mrr: 0.40},
		search.ModeHybrid:  {recall: 0.80, mrr: 0.53},
	} {
		q := measure(t, s, source, mode, heldOut)
		t.Logf("%s: recall@5 %.3f, MRR %.3f over %d questions", mode, q.recall, q.mrr, len(heldOut))
		require.GreaterOrEqual(t, q.recall, floor.recall, mode)
		require.GreaterOrEqual(t, q.mrr, floor.mrr, mode)
	}
}
