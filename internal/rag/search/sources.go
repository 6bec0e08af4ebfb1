package search

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/errs"
	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

// source is a row that a search reads: what of it is visible.
type source struct {
	scope.Source

	name     string
	chunks   int
	embedder *Embedder
}

// readSources reads the asked sources, or all, in the order of their ids. Missing ones are an error: not_found,
// rag.source_not_found.
func readSources(ctx context.Context, q postgres.Querier, ids []int64) ([]source, error) {
	rows, err := q.Query(ctx, `SELECT s.id, s.index_revision, s.name, s.chunks, e.id, e.key, e.provider_kind, e.model, e.dimensions
		FROM rag_source s LEFT JOIN rag_embedder e ON e.id = s.rag_embedder_id
		WHERE s.deleted_at IS NULL AND (cardinality($1::bigint[]) = 0 OR s.id = ANY ($1::bigint[])) ORDER BY s.id`, noNull(ids))
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (source, error) {
		var (
			s                source
			id               *int64
			key, kind, model *string
			dimensions       *int
		)
		if err := row.Scan(&s.ID, &s.Revision, &s.name, &s.chunks, &id, &key, &kind, &model, &dimensions); err != nil {
			return s, err
		}
		if id != nil {
			s.embedder = &Embedder{ID: *id, Key: *key, ProviderKind: *kind, Model: *model, Dimensions: *dimensions}
		}
		return s, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read sources: %w", err)
	}
	return list, missing(list, ids)
}

func noNull(ids []int64) []int64 {
	if ids == nil {
		return []int64{}
	}
	return ids
}

func missing(list []source, ids []int64) error {
	var faults []errs.Detail
	for i, id := range ids {
		if !slices.ContainsFunc(list, func(s source) bool { return s.ID == id }) {
			faults = append(faults, errs.Detail{Location: "source_ids[" + strconv.Itoa(i) + "]", Message: "there is no source " + strconv.FormatInt(id, 10)})
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return errs.E(errs.NotFound, ReasonSource, "Some of the sources do not exist.", faults...)
}

// indexed leaves the sources that have an index and says which have none.
func indexed(list []source, warn func(text string)) []source {
	var out []source
	var without []string
	for _, s := range list {
		if s.Revision == 0 {
			without = append(without, s.name)
			continue
		}
		out = append(out, s)
	}
	if len(without) > 0 {
		warn("Not indexed yet: " + names(without) + ".")
	}
	return out
}

// shownNames bounds a list of names in a sentence.
const shownNames = 5

func names(list []string) string {
	if len(list) > shownNames {
		return strings.Join(list[:shownNames], ", ") + " and " + strconv.Itoa(len(list)-shownNames) + " more"
	}
	return strings.Join(list, ", ")
}

func scopes(list []source) []scope.Source {
	out := make([]scope.Source, len(list))
	for i, s := range list {
		out[i] = s.Source
	}
	return out
}

func quote(text string) string { return strconv.Quote(text) }

func outOfRange(given, least, most int) string {
	return strconv.Itoa(given) + " was given, " + strconv.Itoa(least) + " to " + strconv.Itoa(most) + " are accepted"
}
