package search

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
	"github.com/llmctl/studio/internal/rag/vector"
)

// queryCanceled is what Postgres answers when a statement took too long.
const queryCanceled = "57014"

func cancelled(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == queryCanceled
}

// prepare makes the vectors of the sources ready, before the snapshot begins: loading may take a while and needs connections.
func (r *run) prepare(ctx context.Context) error {
	if r.req.Mode == ModeLexical {
		return nil
	}
	list, err := readSources(ctx, r.o.DB, r.req.SourceIDs)
	if err != nil {
		return err
	}
	r.sources = list
	began := r.o.Now()
	order, groups := r.byEmbedder(list)
	for _, e := range order {
		if err := r.prepareGroup(ctx, e, groups[e]); err != nil {
			return err
		}
	}
	r.stats.VectorMS = millis(r.o.Now().Sub(began))
	return nil
}

// release gives back what was made ready.
func (r *run) release() {
	for _, g := range r.prepared {
		g.search.Release()
	}
}

// byEmbedder groups the sources by who made their vectors, and warns of those that are searched by words only.
func (r *run) byEmbedder(sources []source) (order []Embedder, groups map[Embedder][]source) {
	var none, unasked []string
	groups = map[Embedder][]source{}
	for _, s := range sources {
		switch {
		case s.Revision == 0:
		case s.embedder == nil:
			none = append(none, s.name)
		case r.req.Vectors[s.embedder.ID] == nil:
			unasked = append(unasked, s.name)
		default:
			if groups[*s.embedder] == nil {
				order = append(order, *s.embedder)
			}
			groups[*s.embedder] = append(groups[*s.embedder], s)
		}
	}
	how := "are searched by words only"
	if r.req.Mode == ModeVector {
		how = "are not searched"
	}
	if len(none) > 0 {
		r.warn("Without vectors, these " + how + ": " + names(none) + ".")
	}
	if len(unasked) > 0 {
		r.warn("The question has no vector of the embedding model of these, which " + how + ": " + names(unasked) + ".")
	}
	return order, groups
}

// prepareGroup leaves out sources that do not fit into memory, and says so.
func (r *run) prepareGroup(ctx context.Context, e Embedder, sources []source) error {
	for len(sources) > 0 {
		p, err := r.o.Vectors.Prepare(ctx, vector.Embedder{ID: e.ID, Dimensions: e.Dimensions}, scopes(sources))
		if large, ok := errors.AsType[*vector.TooLargeError](err); ok {
			at := slices.IndexFunc(sources, func(s source) bool { return s.ID == large.SourceID })
			if at < 0 {
				return err
			}
			r.warn("The vectors of " + sources[at].name + " are left out: " + large.Error() + ". With pgvector in the database there is no such limit.")
			sources = slices.Delete(slices.Clone(sources), at, at+1)
			continue
		}
		if err != nil {
			return err
		}
		r.prepared = append(r.prepared, preparedGroup{embedder: e, search: p})
		return nil
	}
	return nil
}

// byVectors makes a list for each embedder: scores of different ones cannot be compared, ranks can.
func (r *run) byVectors(ctx context.Context, tx pgx.Tx, depth int) ([]list, error) {
	began := r.o.Now()
	var out []list
	for _, g := range r.prepared {
		if r.stats.Embedder == nil {
			r.stats.Embedder = &g.embedder
			r.stats.VectorBackend = g.search.Backend()
		}
		hits, err := g.search.Search(ctx, tx, vector.Query{Vector: r.req.Vectors[g.embedder.ID], K: depth, Filter: r.req.Filter})
		if err != nil {
			return nil, err
		}
		l := list{weight: 1, vector: true, hits: make([]hit, len(hits))}
		for i, h := range hits {
			l.hits[i] = hit{id: h.ChunkID, score: float64(h.Score)}
		}
		out = append(out, l)
	}
	r.stats.VectorMS += millis(r.o.Now().Sub(began))
	return out, nil
}

// load reads passages, in the order of list.
func load(ctx context.Context, q postgres.Querier, wanted []fused) ([]Result, error) {
	ids := make([]int64, len(wanted))
	for i, f := range wanted {
		ids[i] = f.id
	}
	var args scope.Args
	rows, err := q.Query(ctx, `SELECT c.id, s.id, s.name, f.id, c.key, c.ordinal, f.path, f.title, f.language, f.kind, f.modified_at,
			c.line_start, c.line_end, c.page, c.heading, c.context, c.text
		FROM rag_chunk c JOIN rag_file f ON f.id = c.rag_file_id JOIN rag_source s ON s.id = f.rag_source_id
		WHERE c.id = ANY (`+args.Add(ids)+`::bigint[])`, args...)
	if err != nil {
		return nil, err
	}
	found := make(map[int64]Result, len(ids))
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var x Result
		p := &x.Position
		err := row.Scan(&x.ChunkID, &x.SourceID, &x.SourceName, &x.FileID, &x.Key, &x.ordinal, &x.Path, &x.Title, &x.Language, &x.Kind, &x.ModifiedAt,
			&p.LineStart, &p.LineEnd, &p.Page, &p.Heading, &x.Context, &x.Text)
		found[x.ChunkID] = x
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	out := make([]Result, 0, len(wanted))
	for _, f := range wanted {
		if x, ok := found[f.id]; ok {
			f.tell(&x)
			out = append(out, x)
		}
	}
	return out, nil
}

// tell writes the places into a result.
func (f *fused) tell(x *Result) {
	x.Score, x.Highlights = f.score, [][2]int{}
	if f.lexical > 0 {
		x.Ranks.Lexical, x.Scores.Lexical = &f.lexical, &f.lexicalScore
	}
	if f.vector > 0 {
		x.Ranks.Vector, x.Scores.Vector = &f.vector, &f.vectorScore
	}
}
