package search

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/llmctl/studio/internal/errs"
)

// Reasons of refused requests.
const (
	ReasonQuestion = "rag.question_invalid"
	ReasonRequest  = "rag.request_invalid"
	ReasonSource   = "rag.source_not_found"
)

const (
	// MaxQuestion bounds a question, in bytes.
	MaxQuestion = 8000
	// maxTerms bounds the words of a question that are looked up; a pasted page has more, and its first words
	// say what it is about.
	maxTerms   = 48
	maxPhrases = 8
)

// question is what is looked for: words, each of which may match, and phrases, all of which must.
type question struct {
	terms   []term
	phrases []string
}

// Kinds of terms.
const (
	kindWord   = "word"   // with its forms
	kindGram   = "gram"   // a unit of a script without spaces, as it is
	kindPrefix = "prefix" // what is shorter than a unit: it begins one
)

// term is what is looked up of the question. parts are a word's words if it is an identifier.
type term struct {
	word  string
	kind  string
	parts []string
}

// checkQuestion refuses what is no question at all: invalid, rag.question_invalid.
func checkQuestion(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errs.E(errs.Invalid, ReasonQuestion, "The question is empty.")
	case len(text) > MaxQuestion:
		return errs.Ef(errs.Invalid, ReasonQuestion, "The question has %d bytes; at most %d are accepted.", len(text), MaxQuestion)
	case !utf8.ValidString(text):
		return errs.E(errs.Invalid, ReasonQuestion, "The question is no UTF-8 text.")
	}
	return nil
}

// parse reads a question. Text between double quotes is a phrase; a quote without its partner is none. Nothing
// else has a meaning of its own.
func parse(text string) question {
	var q question
	seen := map[string]bool{}
	text = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "\x00", " ").Replace(text)
	for i, part := range strings.Split(text, `"`) {
		quoted := i%2 == 1 && i < strings.Count(text, `"`)
		if phrase := strings.Join(strings.Fields(part), " "); quoted && phrase != "" && len(q.phrases) < maxPhrases {
			q.phrases = append(q.phrases, phrase)
		}
		for token := range strings.FieldsSeq(part) {
			q.add(token, seen)
		}
	}
	return q
}

// add takes a piece of a question apart: scripts without spaces into their units, the rest into words.
func (q *question) add(token string, seen map[string]bool) {
	eachRun(token, func(from, to, size int) {
		piece := token[from:to]
		if size == 0 {
			eachCompound(piece, func(word string) bool {
				word = strings.TrimRight(word, "_.-/:\\")
				t := term{word: strings.ToLower(word), kind: kindWord}
				if parts := Parts(word); len(parts) > 1 {
					t.parts = parts
				}
				return q.addTerm(t, seen)
			})
			return
		}
		grams, short := queryGrams(piece, size)
		for _, g := range grams {
			t := term{word: g, kind: kindGram}
			if short {
				t.kind = kindPrefix
			}
			q.addTerm(t, seen)
		}
	})
}

// addTerm adds what is new, and says whether there is room for more.
func (q *question) addTerm(t term, seen map[string]bool) bool {
	if t.word == "" || seen[t.word] {
		return true
	}
	if len(q.terms) == maxTerms {
		return false
	}
	seen[t.word] = true
	q.terms = append(q.terms, t)
	return true
}

// phraseMatchers gives for each phrase what finds it in a text: the same words with any white space between them,
// in any case.
func (q *question) phraseMatchers() []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(q.phrases))
	for i, p := range q.phrases {
		words := strings.Fields(p)
		for j, w := range words {
			words[j] = regexp.QuoteMeta(w)
		}
		out[i] = regexp.MustCompile(`(?i)` + strings.Join(words, `\s+`))
	}
	return out
}
