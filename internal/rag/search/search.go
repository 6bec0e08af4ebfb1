package search

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/vector"
)

// ReasonTimeout is the reason of a search that did not end in time.
const ReasonTimeout = "rag.search_timeout"

// Options of a searcher. Zero values mean the defaults.
type Options struct {
	DB      *postgres.DB
	Vectors vector.Store
	Now     func() time.Time
	Timeout time.Duration // of a whole search; 10 s
	Words   time.Duration // of the search by words; 3 s
	PerFile int           // passages of one file among the results; 3
}

// Searcher answers questions.
type Searcher struct {
	o      Options
	counts *counts
}

// New makes a searcher.
func New(o Options) *Searcher {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Words == 0 {
		o.Words = 3 * time.Second
	}
	if o.PerFile == 0 {
		o.PerFile = 3
	}
	return &Searcher{o: o, counts: newCounts(o.Now)}
}

// Embedders gives those that made the vectors of the sources, or of all; each needs a vector of the question.
// not_found, rag.source_not_found, if a source does not exist.
func (s *Searcher) Embedders(ctx context.Context, sourceIDs []int64) ([]Embedder, error) {
	list, err := readSources(ctx, s.o.DB, sourceIDs)
	if err != nil {
		return nil, err
	}
	var out []Embedder
	for _, src := range list {
		if src.Revision > 0 && src.embedder != nil && !slices.Contains(out, *src.embedder) {
			out = append(out, *src.embedder)
		}
	}
	return out, nil
}

// maxTries bounds how often a search begins anew because an index was swapped between its preparation and its snapshot.
const maxTries = 3

// errAgain says that what was prepared is not what the snapshot shows.
var errAgain = errors.New("an index was swapped meanwhile")

// Search answers a request. Errors: invalid (rag.question_invalid, rag.request_invalid, rag.filter_invalid,
// rag.vector_dimensions), not_found (rag.source_not_found), timeout (rag.search_timeout), unavailable.
func (s *Searcher) Search(ctx context.Context, req Request) (Response, error) {
	if err := req.check(); err != nil {
		return Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	began := s.o.Now()
	for range maxTries {
		r := &run{Searcher: s, req: req, question: parse(req.Question)}
		response, err := r.once(ctx)
		if errors.Is(err, errAgain) || errors.Is(err, vector.ErrMoved) {
			continue
		}
		if err != nil {
			return Response{}, s.explain(ctx, err)
		}
		response.Stats.TotalMS = millis(s.o.Now().Sub(began))
		return response, nil
	}
	return Response{}, errs.E(errs.Unavailable, "rag.index_changing", "The indexes change faster than they can be searched. Try again.").Retry(time.Second)
}

func (s *Searcher) explain(ctx context.Context, err error) error {
	if told, ok := errors.AsType[*errs.Error](err); ok {
		return told // with the database's error as its cause, which is not to be explained again
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errs.Ef(errs.Timeout, ReasonTimeout, "The search did not end within %s. Ask fewer sources, or use filters.", s.o.Timeout).With(err)
	}
	return postgres.Wrap(err)
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// run is one try at a request.
type run struct {
	*Searcher

	req      Request
	question question
	stats    Stats
	prepared []preparedGroup
	sources  []source // that were prepared
}

// preparedGroup is a search of the vectors of one embedder.
type preparedGroup struct {
	embedder Embedder
	search   vector.Prepared
}

func (r *run) warn(text string) {
	if !slices.Contains(r.stats.Warnings, text) {
		r.stats.Warnings = append(r.stats.Warnings, text)
	}
}

func (r *run) once(ctx context.Context) (Response, error) {
	r.stats = Stats{TopK: r.req.TopK, VectorBackend: vector.BackendNone, Warnings: []string{}, Corrections: []Correction{}}
	defer r.release()
	if err := r.prepare(ctx); err != nil {
		return Response{}, err
	}
	tx, err := r.o.DB.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Response{}, fmt.Errorf("begin: %w", err)
	}
	defer func() {
		// After a cancelled context the rollback still has to reach the server.
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(end)
	}()
	list, err := readSources(ctx, tx, r.req.SourceIDs)
	if err != nil {
		return Response{}, err
	}
	if r.sources != nil && !slices.EqualFunc(list, r.sources, sameRevision) {
		return Response{}, errAgain
	}
	return r.answer(ctx, tx, indexed(list, r.warn))
}

func sameRevision(a, b source) bool {
	return a.Source == b.Source && (a.embedder == nil) == (b.embedder == nil) && (a.embedder == nil || *a.embedder == *b.embedder)
}

// answer makes the lists, joins them and completes the results.
func (r *run) answer(ctx context.Context, tx pgx.Tx, sources []source) (Response, error) {
	depth := min(200, max(50, 8*r.req.TopK))
	lexicalHits, terms, err := r.byWords(ctx, tx, sources, depth)
	if err != nil {
		return Response{}, err
	}
	lists, err := r.byVectors(ctx, tx, depth)
	if err != nil {
		return Response{}, err
	}
	r.stats.Mode = ModeVector
	if r.req.Mode != ModeVector {
		r.stats.Mode = ModeLexical
		if len(lists) > 0 {
			r.stats.Mode = ModeHybrid
		}
		lists = append([]list{{hits: lexicalHits, weight: 1}}, lists...)
	}
	all := fuse(lists)
	r.stats.Candidates = len(all)
	return r.complete(ctx, tx, all, terms)
}

// byWords makes the lexical list. When it takes too long the answer goes without, unless there is nothing else.
func (r *run) byWords(ctx context.Context, tx pgx.Tx, sources []source, depth int) ([]hit, []weighed, error) {
	if len(sources) == 0 {
		return nil, nil, nil
	}
	began := r.o.Now()
	point, err := tx.Begin(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = point.Rollback(context.WithoutCancel(ctx)) }() // takes the settings back
	l := &lexical{q: point, sources: sources, filter: r.req.Filter, question: r.question, limit: depth, counts: r.counts}
	// The extension lies in a schema of its own, which names are not looked for in otherwise.
	err = point.QueryRow(ctx, `SELECT coalesce((SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(n.nspname), true) <> ''
			FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'), false)
		FROM set_config('statement_timeout', $1, true)`, fmt.Sprintf("%dms", r.o.Words.Milliseconds())).Scan(&l.trigrams)
	if err != nil {
		return nil, nil, fmt.Errorf("set up text search: %w", err)
	}
	if r.req.Mode == ModeVector { // the words are wanted for the snippets all the same
		l.sources = nil
		terms, err := l.weigh(ctx)
		return nil, terms, err
	}
	hits, terms, err := l.run(ctx)
	r.stats.Corrections = append(r.stats.Corrections, l.corrections...)
	r.stats.LexicalMS = millis(r.o.Now().Sub(began))
	if cancelled(err) && ctx.Err() == nil && len(r.prepared) > 0 {
		r.warn(fmt.Sprintf("The search by words did not end within %s and was left out.", r.o.Words))
		return nil, nil, nil
	}
	if cancelled(err) && ctx.Err() == nil {
		return nil, nil, errs.Ef(errs.Timeout, ReasonTimeout, "The search by words did not end within %s. Ask fewer sources, or use filters.", r.o.Words).With(err)
	}
	if err == nil && len(terms) == 0 && len(r.question.phrases) == 0 {
		r.warn("The question has only words that are too common to look for.")
	}
	return hits, terms, err
}

// withPhrases drops results that do not contain the phrases of the question.
func (r *run) withPhrases(results []Result) []Result {
	matchers := r.question.phraseMatchers()
	return slices.DeleteFunc(results, func(x Result) bool {
		return slices.ContainsFunc(matchers, func(m *regexp.Regexp) bool { return !m.MatchString(x.Text) && !m.MatchString(x.Context) })
	})
}

// complete loads the best passages, drops what says the same, and cuts snippets.
func (r *run) complete(ctx context.Context, tx pgx.Tx, all []fused, terms []weighed) (Response, error) {
	wanted := all[:min(len(all), max(50, 6*r.req.TopK))]
	loaded, err := load(ctx, tx, wanted)
	if err != nil {
		return Response{}, err
	}
	loaded = r.withPhrases(loaded)
	results := collapse(loaded, r.o.PerFile, r.req.TopK)
	for i := range results {
		results[i].Ranks.Fused = i + 1
	}
	if err := highlight(ctx, tx, results, terms, r.question.phrases); err != nil {
		return Response{}, err
	}
	out := Response{Results: results, Stats: r.stats}
	if !r.req.Explain {
		return out, nil
	}
	out.Lists, err = r.lists(ctx, tx, all, results, terms)
	return out, err
}

// lists gives the first of each list as it was before they were joined. Ranks.Fused is 0 for what is not a result.
func (r *run) lists(ctx context.Context, tx pgx.Tx, all []fused, results []Result, terms []weighed) (*Lists, error) {
	out := &Lists{}
	for _, l := range []struct {
		to   *[]Result
		rank func(f fused) int
	}{{&out.Lexical, func(f fused) int { return f.lexical }}, {&out.Vector, func(f fused) int { return f.vector }}} {
		var first []fused
		for _, f := range all {
			if rank := l.rank(f); rank > 0 && rank <= r.req.TopK {
				first = append(first, f)
			}
		}
		slices.SortStableFunc(first, func(a, b fused) int { return l.rank(a) - l.rank(b) })
		loaded, err := load(ctx, tx, first)
		if err != nil {
			return nil, err
		}
		for i := range loaded {
			if at := slices.IndexFunc(results, func(x Result) bool { return x.ChunkID == loaded[i].ChunkID }); at >= 0 {
				loaded[i].Ranks.Fused = at + 1
			}
		}
		if err := highlight(ctx, tx, loaded, terms, r.question.phrases); err != nil {
			return nil, err
		}
		*l.to = loaded
	}
	return out, nil
}
