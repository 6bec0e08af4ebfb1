package vector

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

const (
	// DefaultCacheBytes bounds the copies of a process: half a million chunks of 768 dimensions.
	DefaultCacheBytes = 400 << 20
	// rerank is how many times more candidates than wanted are measured again with the stored numbers; minRerank
	// keeps a search for a single one from trusting the bytes.
	rerank    = 4
	minRerank = 40
)

// TooLargeError says that a source's vectors alone need more than all may.
type TooLargeError struct {
	SourceID     int64
	Bytes, Limit int64
}

// Error says how much is missing.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the vectors of source %d need %d MiB of memory, the limit is %d MiB", e.SourceID, e.Bytes>>20, e.Limit>>20)
}

// Exact compares with every vector.
type Exact struct {
	db    *postgres.DB
	cache *cache
}

// NewExact makes an exact search whose copies, those being loaded included, take at most cacheBytes; 0 means DefaultCacheBytes.
func NewExact(db *postgres.DB, cacheBytes int64) *Exact {
	if cacheBytes == 0 {
		cacheBytes = DefaultCacheBytes
	}
	e := &Exact{db: db}
	e.cache = newCache(cacheBytes, e.load)
	return e
}

// Stats gives figures of the memory in use.
func (e *Exact) Stats() Stats { return e.cache.figures() }

// Prepare loads what is not in the cache. For what there is no room now, the stored vectors will be read: that is slower,
// and finds the same. The error is ErrMoved, *TooLargeError, or the database's.
func (e *Exact) Prepare(ctx context.Context, embedder Embedder, sources []scope.Source) (Prepared, error) {
	p := &exactSearch{embedder: embedder, sources: sources}
	for _, s := range sources {
		x, release, err := e.cache.get(ctx, cacheKey{source: s.ID, revision: s.Revision, embedder: embedder.ID, dimensions: embedder.Dimensions}, len(p.indexes) > 0)
		if errors.Is(err, errNoRoom) {
			e.cache.readWithout()
			p.without = append(p.without, s)
			continue
		}
		if err != nil {
			p.Release()
			return nil, err
		}
		p.indexes, p.releases = append(p.indexes, x), append(p.releases, release)
	}
	return p, nil
}

type exactSearch struct {
	embedder Embedder
	sources  []scope.Source
	indexes  []*index
	releases []func()
	without  []scope.Source // whose stored vectors are read
}

func (p *exactSearch) Backend() string { return BackendExact }

func (p *exactSearch) Release() {
	for _, f := range p.releases {
		f()
	}
	p.indexes = nil
}

func (p *exactSearch) Search(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	if err := checkQuery(p.embedder, query); err != nil {
		return nil, err
	}
	files, err := p.files(ctx, q, query.Filter)
	if err != nil {
		return nil, err
	}
	question := make([]int8, p.embedder.Dimensions)
	worth := quantise(query.Vector, question)
	if worth == 0 || query.K < 1 {
		return nil, nil // a question without direction is near nothing
	}
	wanted := max(rerank*query.K, minRerank)
	var near []Hit
	for _, x := range p.indexes {
		var allowed []bool
		if !query.Filter.Empty() {
			allowed = x.allowed(files)
		}
		near = append(near, x.scan(ctx, question, wanted, allowed)...)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	hits, err := p.measure(ctx, q, query, best(near, wanted))
	if err != nil || len(p.without) == 0 {
		return hits, err
	}
	read, err := p.readAll(ctx, q, query)
	return best(append(hits, read...), query.K), err
}

// readAll measures the stored vectors of the sources that have no copy, one after the other as they come.
func (p *exactSearch) readAll(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	var args scope.Args
	rows, err := q.Query(ctx, `SELECT c.id, e.vector FROM rag_file f`+scope.Join(&args, p.without, query.Filter)+` JOIN rag_chunk c ON c.rag_file_id = f.id
		JOIN rag_embedding e ON e.rag_embedder_id = `+args.Add(p.embedder.ID)+` AND e.content_hash = c.content_hash`, args...)
	if err != nil {
		return nil, fmt.Errorf("read vectors: %w", err)
	}
	t := top{k: query.K}
	err = decodeRows(rows, p.embedder.Dimensions, func(id int64, v []float32) {
		t.offer(Hit{ChunkID: id, Score: cosine(query.Vector, v)})
	})
	return t.hits, err
}

// files gives the ids of the files that the filter lets pass.
func (p *exactSearch) files(ctx context.Context, q postgres.Querier, filter scope.Filter) ([]int64, error) {
	if filter.Empty() {
		return nil, nil
	}
	var args scope.Args
	rows, err := q.Query(ctx, "SELECT f.id FROM rag_file f"+scope.Join(&args, p.sources, filter), args...)
	if err != nil {
		return nil, fmt.Errorf("filter files: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("filter files: %w", err)
	}
	return ids, nil
}

// measure replaces the scores of the candidates by those of the stored vectors.
func (p *exactSearch) measure(ctx context.Context, q postgres.Querier, query Query, near []Hit) ([]Hit, error) {
	ids := make([]int64, len(near))
	for i, h := range near {
		ids[i] = h.ChunkID
	}
	exact := make([]Hit, 0, len(ids))
	err := eachVector(ctx, q, p.embedder, ids, func(id int64, v []float32) {
		exact = append(exact, Hit{ChunkID: id, Score: cosine(query.Vector, v)})
	})
	if err != nil {
		return nil, err
	}
	return best(exact, query.K), nil
}
