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

// term is a word of the question. parts are its words if it is an identifier.
type term struct {
	word  string
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

func (q *question) add(token string, seen map[string]bool) {
	eachCompound(token, func(word string) bool {
		word = strings.TrimRight(word, "_.-/:\\")
		key := strings.ToLower(word)
		if word == "" || seen[key] {
			return true
		}
		if len(q.terms) == maxTerms {
			return false
		}
		seen[key] = true
		t := term{word: key}
		if parts := Parts(word); len(parts) > 1 {
			t.parts = parts
		}
		q.terms = append(q.terms, t)
		return true
	})
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
