package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxWords bounds what Words makes of a text; a chunk has some hundreds of words.
	maxWords = 2000
	// maxWordBytes is longer than any identifier that somebody would look for: what exceeds it is data.
	maxWordBytes = 200
)

// Words gives what the full text does not know of a text by itself, for the column words of a chunk: of
// parseHTTPRequest, parse_http_request and parse.HTTP-Request the words parse, http and request, and of scripts without
// spaces their overlapping units. Plain words are left out, since the full text has them. Each comes once, in lower case,
// separated by spaces.
func Words(text string) string {
	var out []string
	seen := map[string]bool{}
	add := func(word string) {
		if !seen[word] && len(out) < maxWords {
			seen[word] = true
			out = append(out, word)
		}
	}
	eachRun(text, func(from, to, size int) {
		run := text[from:to]
		if size > 0 {
			eachGram(run, size, func(a, b int) { add(run[a:b]) })
			return
		}
		mixed := from > 0 || to < len(text) // what touches another script is a part of a longer word to the full text
		eachCompound(run, func(token string) bool {
			if parts := Parts(token); len(parts) > 1 || mixed {
				for _, p := range parts {
					add(p)
				}
			}
			return len(out) < maxWords
		})
	})
	return strings.Join(out, " ")
}

// eachCompound hands on the runs of letters, digits and what binds them into identifiers, until f says no.
func eachCompound(text string, f func(token string) bool) {
	start := -1
	for i, r := range text {
		inside := isWord(r) || start >= 0 && isBinder(r)
		switch {
		case inside && start < 0:
			start = i
		case !inside && start >= 0:
			if !offer(text[start:i], f) {
				return
			}
			start = -1
		}
	}
	if start >= 0 {
		offer(text[start:], f)
	}
}

func offer(token string, f func(token string) bool) bool {
	if len(token) > maxWordBytes {
		return true
	}
	return f(token)
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r))
}

func isBinder(r rune) bool {
	switch r {
	case '_', '.', '-', '/', ':', '\\':
		return true
	}
	return false
}

// Parts splits an identifier into its words, in lower case: at what is no letter or digit, where a capital begins
// a word, and where a script without spaces begins or ends. Digits stay with the letters before them.
func Parts(token string) []string {
	var out []string
	eachPart(token, func(from, to int) { out = append(out, strings.ToLower(token[from:to])) })
	return out
}

// eachPart gives the places of an identifier's words in it.
func eachPart(token string, f func(from, to int)) {
	start := -1
	var before rune
	for i, r := range token {
		switch {
		case !isWord(r):
			if start >= 0 {
				f(start, i)
			}
			start = -1
		case start < 0:
			start = i
		case beginsWord(token[i:], before) || gramSize(r) != gramSize(before):
			f(start, i)
			start = i
		}
		before = r
	}
	if start >= 0 {
		f(start, len(token))
	}
}

// beginsWord tells whether rest begins a word of its own after the rune before: a capital after a small letter or a digit, or the
// last capital of several when a small letter follows (HTTPServer).
func beginsWord(rest string, before rune) bool {
	r, size := utf8.DecodeRuneInString(rest)
	if !unicode.IsUpper(r) {
		return false
	}
	if unicode.IsLower(before) || unicode.IsDigit(before) {
		return true
	}
	next, _ := utf8.DecodeRuneInString(rest[size:])
	return unicode.IsUpper(before) && unicode.IsLower(next)
}
