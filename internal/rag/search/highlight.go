package search

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/llmctl/studio/internal/postgres"
)

// samePrefix is how many characters a word shares with each of its forms, as the stemmer treats them.
const samePrefix = 2

// highlight cuts the snippets of results. Which words of a text are forms of the question's words is the stemmer's
// knowledge, and that is Postgres'; it is asked once, about the words that begin alike.
func highlight(ctx context.Context, q postgres.Querier, results []Result, terms []weighed, phrases []string) error {
	values := map[string]float64{} // of the lexemes
	prefixes := map[string]bool{}
	var begins []string // of units
	for _, t := range terms {
		if t.kind == kindPrefix {
			begins = append(begins, t.word)
		}
		for _, l := range t.lexemes {
			values[l] = max(values[l], t.idf, 0.1)
			prefixes[prefix(l)] = true
		}
	}
	forms, err := formsOf(ctx, q, alike(results, prefixes), values)
	if err != nil {
		return err
	}
	for i := range results {
		r := &results[i]
		places, worth := marks(r.Text, func(word string) float64 {
			for _, b := range begins {
				if r, _ := utf8.DecodeRuneInString(word); strings.HasPrefix(word, b) && utf8.RuneCountInString(word) <= gramSize(r) {
					return max(forms[word], values[b])
				}
			}
			return forms[word]
		})
		places, worth = withPhrases(r.Text, phrases, places, worth)
		r.Snippet, r.Highlights = snippet(r.Text, places, worth, snippetLength)
	}
	return nil
}

func prefix(word string) string {
	n := 0
	for i := range word {
		if n == samePrefix {
			return word[:i]
		}
		n++
	}
	return word
}

// alike gives the different words of the results that may be forms of a word of the question.
func alike(results []Result, prefixes map[string]bool) []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range results {
		for _, t := range tokens(r.Text) {
			w := strings.ToLower(r.Text[t.from:t.to])
			if !seen[w] && prefixes[prefix(w)] && len(w) <= maxWordBytes {
				seen[w] = true
				out = append(out, w)
			}
		}
	}
	return out
}

// formsOf gives the words that have a lexeme in common with the question, and what it is worth.
func formsOf(ctx context.Context, q postgres.Querier, words []string, values map[string]float64) (map[string]float64, error) {
	forms := map[string]float64{}
	if len(words) == 0 {
		return forms, nil
	}
	rows, err := q.Query(ctx, `SELECT w, l FROM unnest($1::text[]) AS w
		CROSS JOIN LATERAL unnest(tsvector_to_array(to_tsvector('english', w) || to_tsvector('simple', w))) AS l`, words)
	if err != nil {
		return nil, fmt.Errorf("find forms of words: %w", err)
	}
	var word, lexeme string
	if _, err := pgx.ForEachRow(rows, []any{&word, &lexeme}, func() error {
		if v := values[lexeme]; v > 0 {
			forms[word] = max(forms[word], v)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("find forms of words: %w", err)
	}
	return forms, nil
}

// phraseValue outweighs every word: who quotes wants to see it.
const phraseValue = 100

// withPhrases adds the places of quoted phrases and drops the marks that lie in them.
func withPhrases(text string, phrases []string, places []span, values []float64) ([]span, []float64) {
	q := question{phrases: phrases}
	for _, matcher := range q.phraseMatchers() {
		for _, at := range matcher.FindAllStringIndex(text, 20) {
			places, values = insert(places, values, span{at[0], at[1]})
		}
	}
	return places, values
}

func insert(places []span, values []float64, s span) ([]span, []float64) {
	var outPlaces []span
	var outValues []float64
	added := false
	for i, p := range places {
		if p.to > s.from && p.from < s.to { // overlaps
			if values[i] == phraseValue {
				return places, values // one phrase within another
			}
			continue
		}
		if !added && p.from >= s.to {
			outPlaces, outValues = append(outPlaces, s), append(outValues, phraseValue)
			added = true
		}
		outPlaces, outValues = append(outPlaces, p), append(outValues, values[i])
	}
	if !added {
		outPlaces, outValues = append(outPlaces, s), append(outValues, phraseValue)
	}
	return outPlaces, outValues
}
