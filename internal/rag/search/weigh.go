package search

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
)

// weighed is a word of the question with what Postgres makes of it.
type weighed struct {
	term

	query   string   // a tsquery
	lexemes []string // in it
	count   int      // chunks that have it, up to countLimit
	idf     float64
}

// forms undoes that ts_rank divides by the number of words in a query: here they are forms of one word, or of each
// part of an identifier.
func (w weighed) forms() float64 {
	if len(w.parts) > 0 {
		return float64(len(w.parts))
	}
	return float64(max(1, len(w.lexemes)))
}

// weigh asks what the words of the question mean and how many chunks have each. Words that say nothing, such as "the",
// are left out.
func (l *lexical) weigh(ctx context.Context) ([]weighed, error) {
	list, err := l.read(ctx, l.question.terms)
	if err != nil {
		return nil, err
	}
	if err := l.count(ctx, list); err != nil {
		return nil, err
	}
	l.value(list)
	return list, nil
}

// read gives the queries that Postgres makes of terms.
func (l *lexical) read(ctx context.Context, terms []term) ([]weighed, error) {
	words, kinds, parts := make([]string, len(terms)), make([]string, len(terms)), make([]string, len(terms))
	for i, t := range terms {
		words[i], kinds[i], parts[i] = t.word, t.kind, strings.Join(t.parts, " ")
	}
	rows, err := l.q.Query(ctx, `SELECT t.n::int, q.query::text,
			ARRAY (SELECT DISTINCT replace(m[1], '''''', '''') FROM regexp_matches(q.query::text, '''((?:[^'']|'''')+)''', 'g') AS m)
		FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS t (word, kind, parts, n)
		CROSS JOIN LATERAL (SELECT CASE t.kind
			WHEN 'gram' THEN plainto_tsquery('simple', t.word)
			WHEN 'prefix' THEN to_tsquery('simple', quote_literal(t.word) || ':*')
			ELSE plainto_tsquery('english', t.word) || plainto_tsquery('simple', t.word)
				|| plainto_tsquery('english', t.parts) || plainto_tsquery('simple', t.parts) END AS query OFFSET 0) AS q
		WHERE numnode(q.query) > 0 AND (t.kind <> 'word' OR numnode(plainto_tsquery('english', t.word)) > 0 OR t.parts <> '')
		ORDER BY t.n`, words, kinds, parts)
	if err != nil {
		return nil, fmt.Errorf("read words: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (weighed, error) {
		var (
			w weighed
			n int
		)
		if err := row.Scan(&n, &w.query, &w.lexemes); err != nil {
			return w, err
		}
		w.term = terms[n-1]
		return w, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read words: %w", err)
	}
	return list, nil
}

// count fills in how many chunks have each word. What is common is what takes long to count, and what questions have in
// common, so the numbers are kept for a while.
func (l *lexical) count(ctx context.Context, list []weighed) error {
	var missing []int
	var queries []string
	for i := range list {
		n, known := l.counts.get(l.sources, list[i].query)
		if list[i].count = n; !known {
			missing, queries = append(missing, i), append(queries, list[i].query)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := l.q.Query(ctx, `SELECT (SELECT count(*) FROM (SELECT FROM rag_chunk c
			WHERE c.tsv @@ t.query AND c.rag_source_id + 0 = ANY ($2::bigint[]) LIMIT $3) AS counted)::int
		FROM unnest($1::text[]::tsquery[]) WITH ORDINALITY AS t (query, n) ORDER BY t.n`, queries, l.ids(), countLimit)
	if err != nil {
		return fmt.Errorf("count words: %w", err)
	}
	counted, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("count words: %w", err)
	}
	for i, n := range counted {
		list[missing[i]].count = n
		l.counts.put(l.sources, queries[i], n)
	}
	return nil
}

// value weighs words by how rare they are.
func (l *lexical) value(list []weighed) {
	total := l.total()
	for i := range list {
		total = max(total, float64(list[i].count))
	}
	for i := range list {
		n := float64(list[i].count)
		list[i].idf = math.Log(1 + (total-n+0.5)/(n+0.5))
	}
}
