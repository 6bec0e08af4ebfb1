package search

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

const (
	// maxMisspelt bounds the words of a question that are looked for in other spellings.
	maxMisspelt = 4
	// A word has to be that long for another spelling of it to be recognised: of four letters most have a neighbour that means
	// something else. It must not be longer, which bounds what is tried.
	minSpelling, maxSpelling = 5, 24
	// maxMeant is how many words may be searched instead of one.
	maxMeant = 3
	// correctedWeight is what a word counts that was searched instead of the one that was written.
	correctedWeight = 0.8
)

// Correction is a word of a question that no passage of the sources has, and what was searched instead.
type Correction struct {
	Word     string   `json:"word" doc:"As the question has it; no passage does"`
	Searched []string `json:"searched" doc:"Words of the sources that are written nearly so, the most frequent first"`
}

// correct adds the words that the sources have in place of words that they do not: those that one letter more, one less,
// another one, or two in another order make of them. Each try is a look into the index, so it needs no list of all words, and is
// always about what is searched now.
func (l *lexical) correct(ctx context.Context, terms []weighed) ([]weighed, error) {
	words := l.misspelt(terms)
	if len(words) == 0 {
		return terms, nil
	}
	var meant []term
	for _, word := range words {
		found, err := l.near(ctx, word)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		l.corrections = append(l.corrections, Correction{Word: word, Searched: found})
		for _, f := range found {
			meant = append(meant, term{word: f, kind: kindWord})
		}
	}
	list, err := l.read(ctx, meant)
	if err != nil {
		return nil, err
	}
	if err := l.count(ctx, list); err != nil {
		return nil, err
	}
	l.value(list)
	known := map[string]bool{}
	for _, t := range terms {
		known[t.query] = true
	}
	for _, t := range list {
		if !known[t.query] {
			known[t.query] = true
			t.idf *= correctedWeight
			terms = append(terms, t)
		}
	}
	return terms, nil
}

// misspelt gives the words that no chunk has and that may be words.
func (l *lexical) misspelt(terms []weighed) []string {
	var out []string
	for _, t := range terms {
		n := utf8.RuneCountInString(t.word)
		if t.kind != kindWord || t.count > 0 || len(t.parts) > 0 || n < minSpelling || n > maxSpelling || len(out) == maxMisspelt {
			continue
		}
		if strings.IndexFunc(t.word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }) < 0 {
			out = append(out, t.word)
		}
	}
	return out
}

// near gives the words of the sources that are written nearly like word, as the texts have them: that a form which they do not have
// has a stem in common with one makes it no word.
func (l *lexical) near(ctx context.Context, word string) ([]string, error) {
	rows, err := l.q.Query(ctx, `WITH tried AS MATERIALIZED (
			SELECT array_agg(s.word ORDER BY s.n) AS words, min(s.n) AS n, q.query
			FROM unnest($1::text[]) WITH ORDINALITY AS s (word, n)
			CROSS JOIN LATERAL (SELECT plainto_tsquery('english', s.word) AS query OFFSET 0) AS q
			WHERE numnode(q.query) = 1 GROUP BY q.query),
		found AS MATERIALIZED (
			SELECT t.words, t.n, t.query, c.n AS chunks FROM tried t CROSS JOIN LATERAL (
				SELECT count(*) AS n FROM (SELECT FROM rag_chunk c WHERE c.tsv @@ t.query AND c.rag_source_id + 0 = ANY ($2::bigint[]) LIMIT $3) AS counted) AS c
			WHERE c.n > 0 ORDER BY c.n DESC, t.n LIMIT $4)
		SELECT form.word, f.chunks FROM found f CROSS JOIN LATERAL (SELECT w.word FROM unnest(f.words) WITH ORDINALITY AS w (word, n)
			JOIN (SELECT c.text, c.context FROM rag_chunk c WHERE c.tsv @@ f.query AND c.rag_source_id + 0 = ANY ($2::bigint[]) LIMIT 20) AS c
				ON lower(c.context || ' ' || c.text) ~ ('\m' || w.word || '\M')
			GROUP BY w.word, w.n ORDER BY count(*) DESC, w.n LIMIT 1) AS form
		ORDER BY f.chunks DESC, f.n`, spellings(word), l.ids(), countLimit, maxMeant)
	if err != nil {
		return nil, fmt.Errorf("look for other spellings: %w", err)
	}
	var (
		out    []string
		meant  string
		chunks int
		most   int
	)
	if _, err := pgx.ForEachRow(rows, []any{&meant, &chunks}, func() error {
		// What is rare beside another is most likely not meant.
		if most = max(most, chunks); 10*chunks >= most {
			out = append(out, meant)
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look for other spellings: %w", err)
	}
	return out, nil
}

// spellings gives what one slip makes of a word, the likeliest first: two letters in another order, one too many, one
// missing, another one. The first letter is seldom wrong, and other words than the one that is meant begin with another, so it stays, or
// changes places. Letters are those of the word's alphabet.
func spellings(word string) []string {
	letters := []rune(word)
	alphabet := alphabetOf(letters)
	var out []string
	seen := map[string]bool{word: true}
	add := func(parts ...[]rune) {
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(string(p))
		}
		if s := b.String(); !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for i := 1; i < len(letters); i++ {
		add(letters[:i-1], letters[i:i+1], letters[i-1:i], letters[i+1:])
	}
	for i := 1; i < len(letters); i++ {
		add(letters[:i], letters[i+1:])
	}
	for i := 1; i <= len(letters); i++ {
		for _, r := range alphabet {
			add(letters[:i], []rune{r}, letters[i:])
		}
	}
	for i := 1; i < len(letters); i++ {
		for _, r := range alphabet {
			add(letters[:i], []rune{r}, letters[i+1:])
		}
	}
	return out
}

// alphabetOf gives the letters that may be missing in a word: those of its script, and what it has itself.
func alphabetOf(letters []rune) []rune {
	from, to := 'a', 'z'
	switch {
	case unicode.Is(unicode.Cyrillic, letters[0]):
		from, to = 'а', 'я'
	case unicode.Is(unicode.Greek, letters[0]):
		from, to = 'α', 'ω'
	case !unicode.Is(unicode.Latin, letters[0]):
		from, to = 1, 0 // of other scripts only what the word has
	}
	var out []rune
	for r := from; r <= to; r++ {
		out = append(out, r)
	}
	for _, r := range letters {
		if !strings.ContainsRune(string(out), r) {
			out = append(out, r)
		}
	}
	return out
}
