package search

import (
	"context"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
	"github.com/llmctl/studio/internal/rag/scope"
)

const (
	// countLimit is how far the chunks of a word are counted: beyond it a word is simply common.
	countLimit = 5000
	// maxRanked bounds the chunks that are ranked: each has to be unpacked, which is what a search by words costs.
	maxRanked = 3000
	// weights of the classes of the full text: unused, parts of identifiers, text, path and headings. These and the
	// two below were measured (docs/operations/retrieval-search.md); around them little changes.
	weights = "{0.1, 0.5, 1, 1}"
	// coverage is the power of the share of the question's words, by weight, that a chunk has.
	coverage = "0.5"
	// lengthShare is how much the length of a chunk, beside the others, takes from its score.
	lengthShare = "0.2"
	// fuzzy is the similarity from which on a name counts as a misspelling (two letters in the wrong order make 0.47 of a
	// word of ten); fuzzyWeight is what it is worth beside a match.
	fuzzy       = 0.4
	fuzzyWeight = 0.5
	// minFuzzy is the length from which on a word that nothing has is looked for in names.
	minFuzzy = 4
)

// hit is a chunk in a list.
type hit struct {
	id    int64
	score float64
}

// lexical is a search by words. Words are weighed by their rarity, as BM25 does: ts_rank alone knows only the
// document.
type lexical struct {
	q        postgres.Querier
	sources  []source
	filter   scope.Filter
	question question
	trigrams bool
	limit    int
	counts   *counts

	corrections []Correction
}

// run gives the list, best first, and the words as they were understood.
func (l *lexical) run(ctx context.Context) ([]hit, []weighed, error) {
	// The planner thinks that unpacking a document costs nothing and would rather read all of them.
	if _, err := l.q.Exec(ctx, `SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
		set_config('pg_trgm.word_similarity_threshold', $1, true)`, strconv.FormatFloat(fuzzy, 'g', -1, 64)); err != nil {
		return nil, nil, fmt.Errorf("set up text search: %w", err)
	}
	terms, err := l.weigh(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(terms) == 0 && len(l.question.phrases) == 0 {
		return nil, nil, nil
	}
	if terms, err = l.correct(ctx, terms); err != nil {
		return nil, nil, err
	}
	hits, err := l.rank(ctx, terms)
	return hits, terms, err
}

func (l *lexical) ids() []int64 {
	ids := make([]int64, len(l.sources))
	for i, s := range l.sources {
		ids[i] = s.ID
	}
	return ids
}

// total is how many chunks there are.
func (l *lexical) total() float64 {
	n := 1
	for _, s := range l.sources {
		n += s.chunks
	}
	return float64(n)
}

// rank orders the chunks that have some of the words.
func (l *lexical) rank(ctx context.Context, terms []weighed) ([]hit, error) {
	var args scope.Args
	var queries []string
	var values, idfs []float64
	for _, t := range terms {
		queries = append(queries, t.query)
		values, idfs = append(values, t.idf*t.forms()), append(idfs, t.idf)
	}
	groups := l.groups(&args, terms)
	if len(groups) == 0 {
		return nil, nil
	}
	fuzzyScore := l.fuzzyScore(&args, terms)
	// What is unpacked stays inside: the window keeps its rows, and would write the documents to disk with them.
	sql := `WITH candidates AS MATERIALIZED (` + strings.Join(groups, " UNION ") + `)
		SELECT id, (coalesce(sum * power(share, ` + coverage + `), 0)
			/ (1 - ` + lengthShare + ` + ` + lengthShare + ` * length / greatest(avg(length) OVER (), 1)) + near)::float8 AS score
		FROM (SELECT c.id, scored.sum, scored.share, length(unpacked.tsv) AS length, ` + fuzzyScore + ` AS near
			FROM candidates JOIN rag_chunk c ON c.id = candidates.id
			CROSS JOIN LATERAL (SELECT c.tsv || ''::tsvector AS tsv OFFSET 0) AS unpacked
			CROSS JOIN LATERAL (SELECT sum(t.value * ts_rank('` + weights + `', unpacked.tsv, t.query, 0)) AS sum,
					coalesce(sum(t.idf) FILTER (WHERE unpacked.tsv @@ t.query), 0) / sum(t.idf) AS share
				FROM unnest(` + args.Add(queries) + `::text[]::tsquery[], ` + args.Add(values) + `::float8[], ` + args.Add(idfs) + `::float8[]) AS t (query, value, idf)) AS scored` +
		l.phraseFilter(&args) + ` OFFSET 0) AS ranked
		ORDER BY score DESC, id LIMIT ` + args.Add(l.limit)
	rows, err := l.q.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("search text: %w", err)
	}
	hits, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hit, error) {
		var h hit
		return h, row.Scan(&h.id, &h.score)
	})
	if err != nil {
		return nil, fmt.Errorf("search text: %w", err)
	}
	return hits, nil
}

// groups gives the statements that find what is worth ranking. A word that few chunks have brings all of them; words
// that many have only count together, first all, then the rarest two, then the rarest.
func (l *lexical) groups(args *scope.Args, terms []weighed) []string {
	found := make([]weighed, 0, len(terms))
	for _, t := range terms {
		if t.count > 0 {
			found = append(found, t)
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].count < found[j].count })
	var rare []string
	budget := maxRanked
	for _, t := range found {
		if budget -= t.count; budget < 0 {
			break
		}
		rare = append(rare, t.query)
	}
	var out []string
	if len(rare) > 0 {
		out = append(out, l.group(args, join(rare, " | "), maxRanked))
	}
	if common := found[len(rare):]; len(common) > 0 {
		all := make([]string, len(found))
		for i, t := range found {
			all[i] = t.query
		}
		share := maxRanked / 3
		if len(all) > 1 {
			out = append(out, l.group(args, join(all, " & "), share), l.group(args, join(all[:2], " & "), share))
		}
		if len(rare) == 0 {
			out = append(out, l.group(args, all[0], share))
		}
	}
	out = append(out, l.fuzzyGroups(args, terms)...)
	if len(out) == 0 && len(l.question.phrases) > 0 {
		out = append(out, l.every(args))
	}
	return out
}

func join(queries []string, operator string) string {
	return "(" + strings.Join(queries, ")"+operator+"(") + ")"
}

// group finds up to n chunks by the index of the full text; nothing else must tempt the planner.
func (l *lexical) group(args *scope.Args, query string, n int) string {
	return `(SELECT found.id FROM (SELECT c.id, c.rag_file_id FROM rag_chunk c WHERE c.tsv @@ ` + args.Add(query) + `::text::tsquery` + l.phraseQueries(args) +
		` AND c.rag_source_id + 0 = ANY (` + args.Add(l.ids()) + `::bigint[]) OFFSET 0) AS found
		JOIN rag_file f ON f.id = found.rag_file_id` + scope.Join(args, scopes(l.sources), l.filter) + ` LIMIT ` + args.Add(n) + `)`
}

// every finds chunks of which nothing but a phrase of stop words is known.
func (l *lexical) every(args *scope.Args) string {
	return `(SELECT c.id FROM rag_file f` + scope.Join(args, scopes(l.sources), l.filter) + ` JOIN rag_chunk c ON c.rag_file_id = f.id WHERE ` +
		l.phrasePattern(args) + ` LIMIT ` + args.Add(maxRanked) + `)`
}

// phraseQueries narrows by the full text to what may contain the phrases.
func (l *lexical) phraseQueries(args *scope.Args) string {
	var sql strings.Builder
	for _, p := range l.question.phrases {
		if grams := phraseGrams(p); len(grams) > 0 {
			sql.WriteString(` AND c.tsv @@ ` + args.Add(join(grams, " & ")) + `::text::tsquery`)
			continue
		}
		name := args.Add(p)
		sql.WriteString(` AND (numnode(phraseto_tsquery('english', ` + name + `)) = 0 OR c.tsv @@ phraseto_tsquery('english', ` + name + `))`)
	}
	return sql.String()
}

// phraseGrams gives the units, as queries, of what a phrase has of scripts without spaces. The full text knows it as part of a longer
// word at best, so the units narrow alone.
func phraseGrams(phrase string) []string {
	var out []string
	eachRun(phrase, func(from, to, size int) {
		if size == 0 {
			return
		}
		grams, short := queryGrams(phrase[from:to], size)
		for _, g := range grams {
			query := "'" + g + "'"
			if short {
				query += ":*"
			}
			out = append(out, query)
		}
	})
	return out
}

// phraseFilter leaves the chunks that contain the phrases as they are written.
func (l *lexical) phraseFilter(args *scope.Args) string {
	if len(l.question.phrases) == 0 {
		return ""
	}
	return ` WHERE ` + l.phrasePattern(args)
}

func (l *lexical) phrasePattern(args *scope.Args) string {
	conditions := make([]string, len(l.question.phrases))
	for i, p := range l.question.phrases {
		words := strings.Fields(p)
		for j, w := range words {
			words[j] = scope.Literal(w)
		}
		pattern := args.Add(strings.Join(words, `\s+`))
		conditions[i] = `(c.text ~* ` + pattern + ` OR c.context ~* ` + pattern + `)`
	}
	return strings.Join(conditions, " AND ")
}

// unknown are the words that nothing has, and that are long enough to be recognised in another spelling.
func (l *lexical) unknown(terms []weighed) []string {
	if !l.trigrams {
		return nil
	}
	var out []string
	for _, t := range terms {
		if t.kind == kindWord && t.count == 0 && utf8.RuneCountInString(t.word) >= minFuzzy {
			out = append(out, t.word)
		}
	}
	return out
}

// fuzzyGroups finds chunks whose path or headings contain an unknown word, or one that is written nearly so.
func (l *lexical) fuzzyGroups(args *scope.Args, terms []weighed) []string {
	var out []string
	for _, word := range l.unknown(terms) {
		out = append(out, `(SELECT found.id FROM (SELECT c.id, c.rag_file_id FROM rag_chunk c WHERE `+args.Add(word)+` <% c.context
			AND c.rag_source_id + 0 = ANY (`+args.Add(l.ids())+`::bigint[]) OFFSET 0) AS found
			JOIN rag_file f ON f.id = found.rag_file_id`+scope.Join(args, scopes(l.sources), l.filter)+` LIMIT `+args.Add(maxRanked/4)+`)`)
	}
	return out
}

func (l *lexical) fuzzyScore(args *scope.Args, terms []weighed) string {
	words := l.unknown(terms)
	if len(words) == 0 {
		return "0"
	}
	value := args.Add(fuzzyWeight * math.Log(1+l.total()))
	return `(SELECT coalesce(sum(` + value + `::float8 * s), 0) FROM (SELECT word_similarity(word, c.context) AS s
		FROM unnest(` + args.Add(words) + `::text[]) AS word) AS near WHERE s >= ` + args.Add(fuzzy) + `::float8)`
}
