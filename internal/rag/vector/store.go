package vector

import (
	"context"
	"errors"
	"sort"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

// Backends, as they are told to users.
const (
	BackendNone     = "none"
	BackendExact    = "exact"
	BackendPgvector = "pgvector"
)

// ReasonDimensions is the reason of a question whose vector is not of the embedder's dimensions.
const ReasonDimensions = "rag.vector_dimensions"

// ErrMoved says that a source's visible revision is another one by now: ask again with that.
var ErrMoved = errors.New("the visible revision of the source has changed")

// Embedder names who made the vectors.
type Embedder struct {
	ID         int64
	Dimensions int
}

// Query is one search among the vectors of one embedder.
type Query struct {
	Vector []float32
	K      int
	Filter scope.Filter
}

// Hit is a chunk and its cosine to the question.
type Hit struct {
	ChunkID int64
	Score   float32
}

// Store finds near vectors.
type Store interface {
	// Prepare makes ready what searches of these revisions need, or answers ErrMoved when one of them is not the
	// visible one any more. It takes connections of its own, so the caller must hold none.
	Prepare(ctx context.Context, embedder Embedder, sources []scope.Source) (Prepared, error)
}

// Prepared is a search that is ready for some sources. It stays usable until Release, also after what it was made of
// has been dropped from a cache.
type Prepared interface {
	// Release gives back what the search holds. It must be called once the search is not used any more, and may be called again.
	Release()
	// Backend says how the search is done.
	Backend() string
	// Search gives the K nearest chunks, nearest first, equal ones by id. q is the snapshot that the caller found the
	// revisions in.
	Search(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error)
}

func checkQuery(e Embedder, query Query) error {
	if len(query.Vector) != e.Dimensions {
		return errs.Ef(errs.Invalid, ReasonDimensions, "The question's vector has %d dimensions, those of the index have %d.", len(query.Vector), e.Dimensions)
	}
	return nil
}

// best sorts hits, nearest first, and keeps k.
func best(hits []Hit, k int) []Hit {
	sort.Slice(hits, func(i, j int) bool { return nearer(hits[i], hits[j]) })
	return hits[:min(k, len(hits))]
}

func nearer(a, b Hit) bool {
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	return a.ChunkID < b.ChunkID
}
