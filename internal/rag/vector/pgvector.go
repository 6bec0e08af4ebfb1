package vector

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

const (
	// maxIndexed is the number of dimensions that an HNSW index of half precision takes; single precision ends at
	// maxSingle.
	maxIndexed = 4000
	maxSingle  = 2000
	// fewChunks is how many chunks a search may be left with for it to measure all of them: the index would have to be
	// walked far to find them.
	fewChunks = 2000
	// recheck is how long an answer "not ready" is believed.
	recheck = 5 * time.Second
)

// Pgvector searches with the database's HNSW indexes. It is ready for a source once Sweep has copied its vectors.
type Pgvector struct {
	db  *postgres.DB
	now func() time.Time
	few int

	mu     sync.Mutex
	filled map[cacheKey]bool      // revisions whose vectors are known to be there
	asked  map[cacheKey]time.Time // when the others were last looked at
}

// PgvectorOptions are what a Pgvector needs.
type PgvectorOptions struct {
	DB  *postgres.DB
	Now func() time.Time
	Few int // chunks that are all measured rather than looked for with the index; 0: 2000
}

// NewPgvector makes a search for a database that may have the extension, or not.
func NewPgvector(o PgvectorOptions) *Pgvector {
	if o.Few == 0 {
		o.Few = fewChunks
	}
	return &Pgvector{db: o.DB, now: o.Now, few: o.Few, filled: map[cacheKey]bool{}, asked: map[cacheKey]time.Time{}}
}

// notReadyError says why a search has to be done otherwise.
type notReadyError string

func (e notReadyError) Error() string { return "pgvector is not ready: " + string(e) }

// Prepare looks whether the vectors of these revisions are all there; if not, the error is of type notReadyError.
func (p *Pgvector) Prepare(ctx context.Context, e Embedder, sources []scope.Source) (Prepared, error) {
	if e.Dimensions > maxIndexed {
		return nil, notReadyError(strconv.Itoa(e.Dimensions) + " dimensions are too many for an index")
	}
	for _, s := range sources {
		if err := p.check(ctx, cacheKey{source: s.ID, revision: s.Revision, embedder: e.ID, dimensions: e.Dimensions}); err != nil {
			return nil, err
		}
	}
	return p.search(e, sources), nil
}

func (p *Pgvector) search(e Embedder, sources []scope.Source) *pgvectorSearch {
	return &pgvectorSearch{embedder: e, sources: sources, limit: p.few}
}

// check remembers its answer: what has been copied stays, and the rest is looked at once in a while.
func (p *Pgvector) check(ctx context.Context, key cacheKey) error {
	p.mu.Lock()
	filled, asked := p.filled[key], p.asked[key]
	p.mu.Unlock()
	if filled {
		return nil
	}
	if p.now().Sub(asked) < recheck {
		return notReadyError("vectors are being copied")
	}
	missing, err := p.lacks(ctx, key)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for other := range p.filled { // one revision a source is asked for
		if other.source == key.source && other.embedder == key.embedder {
			delete(p.filled, other)
		}
	}
	for other := range p.asked {
		if other.source == key.source && other.embedder == key.embedder {
			delete(p.asked, other)
		}
	}
	if missing != "" {
		p.asked[key] = p.now()
		return notReadyError(missing)
	}
	p.filled[key] = true
	return nil
}

// bound finds the foreign key of rag_vector. A restored backup replaces rag_embedding and so drops it; what is left are copies of
// vectors that may be others by now.
const bound = `SELECT FROM pg_constraint WHERE conrelid = to_regclass('rag_vector') AND contype = 'f'`

// findExtension lets a transaction find the names of the extension, wherever it was installed.
const findExtension = `SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(n.nspname), true)
	FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'`

// lacks says what is missing for a search of a revision; nothing: it is empty.
func (p *Pgvector) lacks(ctx context.Context, key cacheKey) (string, error) {
	var missing string
	err := snapshot(ctx, p.db, func(tx pgx.Tx) error {
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (`+bound+`) AND EXISTS (SELECT FROM pg_index
			WHERE indexrelid = to_regclass($1) AND indisvalid)`, indexName(key.embedder)).Scan(&there); err != nil {
			return fmt.Errorf("look for pgvector's index: %w", err)
		}
		if !there {
			missing = "there is no index"
			return nil
		}
		if err := checkVisible(ctx, tx, key); err != nil {
			return err
		}
		var args scope.Args
		from := withVectors(&args, key)
		var lacking bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT`+from+` LEFT JOIN rag_vector v
			ON v.rag_embedder_id = e.rag_embedder_id AND v.content_hash = e.content_hash WHERE v.content_hash IS NULL)`, args...).Scan(&lacking); err != nil {
			return fmt.Errorf("look for vectors that pgvector lacks: %w", err)
		}
		if lacking {
			missing = "vectors are being copied"
		}
		return nil
	})
	return missing, err
}

func indexName(embedder int64) string { return "rag_vector_hnsw_" + strconv.FormatInt(embedder, 10) }

// typeOf is the type that the index of an embedder is over, and its operator class.
func typeOf(e Embedder) (typ, class string) {
	n := strconv.Itoa(e.Dimensions)
	if e.Dimensions > maxSingle {
		return "halfvec(" + n + ")", "halfvec_cosine_ops"
	}
	return "vector(" + n + ")", "vector_cosine_ops"
}

type pgvectorSearch struct {
	embedder Embedder
	sources  []scope.Source
	limit    int // of few
}

func (s *pgvectorSearch) Backend() string { return BackendPgvector }

func (s *pgvectorSearch) Release() {}

func (s *pgvectorSearch) Search(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	if err := checkQuery(s.embedder, query); err != nil {
		return nil, err
	}
	if query.K < 1 || norm(query.Vector) == 0 {
		return nil, nil // a question without direction is near nothing
	}
	few, err := s.few(ctx, q, query.Filter)
	if err != nil {
		return nil, err
	}
	if few {
		return s.measureAll(ctx, q, query)
	}
	hits, err := s.walk(ctx, q, query)
	if err != nil {
		return nil, err
	}
	if len(hits) < query.K { // there are more than that, yet the walk ended before it met them
		return s.measureAll(ctx, q, query)
	}
	return hits, nil
}

// few tells whether so few chunks can be found at all that measuring each is cheaper.
func (s *pgvectorSearch) few(ctx context.Context, q postgres.Querier, filter scope.Filter) (bool, error) {
	var args scope.Args
	sql := `SELECT count(*) <= ` + args.Add(s.limit) + `::bigint FROM (SELECT FROM rag_file f` + scope.Join(&args, s.sources, filter) +
		` JOIN rag_chunk c ON c.rag_file_id = f.id LIMIT ` + args.Add(s.limit+1) + `::bigint) AS candidates`
	var few bool
	if err := q.QueryRow(ctx, sql, args...).Scan(&few); err != nil {
		return false, fmt.Errorf("count chunks: %w", err)
	}
	return few, nil
}

// visibleVectors is the FROM clause of the copied vectors that the search may find. The embedder's number is
// written out, because the index is a partial one.
func (s *pgvectorSearch) visibleVectors(args *scope.Args, filter scope.Filter) string {
	return ` FROM rag_vector v JOIN rag_chunk c ON c.content_hash = v.content_hash JOIN rag_file f ON f.id = c.rag_file_id` +
		scope.Join(args, s.sources, filter) + ` WHERE v.rag_embedder_id = ` + strconv.FormatInt(s.embedder.ID, 10)
}

// measureAll compares with every vector that may be found.
func (s *pgvectorSearch) measureAll(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	var args scope.Args
	question := args.Add(text(query.Vector)) + "::text::vector"
	sql := `WITH found AS MATERIALIZED (SELECT c.id, v.vector` + s.visibleVectors(&args, query.Filter) + `)
		SELECT id, ` + similarity("vector", question) + ` AS score FROM found ORDER BY score DESC, id LIMIT ` + args.Add(query.K)
	var hits []Hit
	err := settings(ctx, q, nil, func(tx postgres.Querier) error {
		rows, err := tx.Query(ctx, sql, args...)
		hits, err = collect(rows, err, query.K)
		return err
	})
	return hits, err
}

// walk lets the index bring vectors, nearest first, until enough of them may be found.
func (s *pgvectorSearch) walk(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	var (
		args   scope.Args
		typ, _ = typeOf(s.embedder)
		given  = args.Add(text(query.Vector)) + "::text::"
		wanted = max(rerank*query.K, minRerank)
	)
	sql := `SELECT c.id, ` + similarity("v.vector", given+"vector") + s.visibleVectors(&args, query.Filter) +
		` ORDER BY v.vector::` + typ + ` <=> ` + given + typ + ` LIMIT ` + args.Add(wanted)
	var hits []Hit
	err := settings(ctx, q, []string{
		// The planner must not think that sorting all is as good: its idea of the price of a distance is too low.
		"enable_seqscan = off", "enable_sort = off", "enable_hashjoin = off", "enable_mergejoin = off",
		"hnsw.iterative_scan = relaxed_order", "hnsw.ef_search = " + strconv.Itoa(min(1000, 2*wanted)),
	}, func(tx postgres.Querier) error {
		rows, err := tx.Query(ctx, sql, args...)
		hits, err = collect(rows, err, wanted)
		return err
	})
	return best(hits, query.K), err
}

// similarity is the cosine; a vector of zeros has none, which counts as 0.
func similarity(column, question string) string {
	return "coalesce(nullif(1 - (" + column + " <=> " + question + "), 'NaN'), 0)::real"
}

// settings runs f with settings that end with it.
func settings(ctx context.Context, q postgres.Querier, list []string, f func(tx postgres.Querier) error) error {
	begin, ok := q.(interface {
		Begin(ctx context.Context) (pgx.Tx, error)
	})
	if !ok {
		return fmt.Errorf("search with pgvector: %T begins no transaction", q)
	}
	tx, err := begin.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(end) // nothing was written; this takes the settings back
	}()
	if _, err := tx.Exec(ctx, findExtension); err != nil {
		return fmt.Errorf("look for pgvector: %w", err)
	}
	for _, s := range list {
		if _, err := tx.Exec(ctx, "SET LOCAL "+s); err != nil {
			return fmt.Errorf("set %s: %w", s, err)
		}
	}
	return f(tx)
}

func collect(rows pgx.Rows, err error, k int) ([]Hit, error) {
	if err != nil {
		return nil, fmt.Errorf("search with pgvector: %w", err)
	}
	hits := make([]Hit, 0, k)
	var h Hit
	if _, err := pgx.ForEachRow(rows, []any{&h.ChunkID, &h.Score}, func() error { hits = append(hits, h); return nil }); err != nil {
		return nil, fmt.Errorf("search with pgvector: %w", err)
	}
	return hits, nil
}

// text writes a vector as pgvector reads it. The shortest form that reads back as the same number loses nothing.
func text(v []float32) string {
	var out strings.Builder
	out.Grow(12 * len(v))
	buffer := make([]byte, 0, 24)
	out.WriteByte('[')
	for i, x := range v {
		buffer = buffer[:0]
		if i > 0 {
			buffer = append(buffer, ',')
		}
		out.Write(strconv.AppendFloat(buffer, float64(x), 'g', -1, 32))
	}
	out.WriteByte(']')
	return out.String()
}
