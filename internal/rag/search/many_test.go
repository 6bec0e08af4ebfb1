package search_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/rag/search"
	"github.com/llmctl/studio/internal/rag/vector"
	"github.com/llmctl/studio/internal/testkit/pgtest"
)

// A question to all sources names each of them, and there may be 500.
func TestAsManySourcesAreAskedAsThereCanBe(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ids := make([]int64, 500)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	s := search.New(search.Options{DB: db, Vectors: vector.NewExact(db, 0), Now: time.Now})
	_, err := s.Search(t.Context(), search.Request{Question: "anything", SourceIDs: ids})
	require.True(t, errs.HasReason(err, search.ReasonSource), "%v", err)
}
