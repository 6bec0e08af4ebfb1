package vector

import (
	"context"
	"errors"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

// Auto searches with pgvector where it is ready, and exactly otherwise.
type Auto struct {
	exact    *Exact
	pgvector *Pgvector
}

// NewAuto joins the two ways.
func NewAuto(exact *Exact, pgvector *Pgvector) *Auto { return &Auto{exact: exact, pgvector: pgvector} }

// Prepare decides for each source on its own.
func (a *Auto) Prepare(ctx context.Context, e Embedder, sources []scope.Source) (Prepared, error) {
	var both split
	var indexed, rest []scope.Source
	for _, s := range sources {
		_, err := a.pgvector.Prepare(ctx, e, []scope.Source{s})
		if _, ok := errors.AsType[notReadyError](err); ok {
			rest = append(rest, s)
			continue
		}
		if err != nil {
			return nil, err
		}
		indexed = append(indexed, s)
	}
	if len(indexed) > 0 {
		both = append(both, a.pgvector.search(e, indexed))
	}
	if len(rest) > 0 || len(both) == 0 {
		p, err := a.exact.Prepare(ctx, e, rest)
		if err != nil {
			return nil, err
		}
		both = append(both, p)
	}
	if len(both) == 1 {
		return both[0], nil
	}
	return both, nil
}

// split is a search whose sources are searched in different ways.
type split []Prepared

// Backend names the one that only part of the sources needs.
func (s split) Backend() string { return s[0].Backend() }

func (s split) Release() {
	for _, p := range s {
		p.Release()
	}
}

func (s split) Search(ctx context.Context, q postgres.Querier, query Query) ([]Hit, error) {
	var all []Hit
	for _, p := range s {
		hits, err := p.Search(ctx, q, query)
		if err != nil {
			return nil, err
		}
		all = append(all, hits...)
	}
	return best(all, query.K), nil
}
