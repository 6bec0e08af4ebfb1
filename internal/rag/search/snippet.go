package search

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// snippetLength is about how many characters a snippet has.
const snippetLength = 320

// span is a place in a text, in bytes.
type span struct{ from, to int }

// tokens gives the words of a text and, of identifiers, their parts as well; a part lies inside its word. Of scripts
// without spaces it gives the units, which overlap.
func tokens(text string) []span {
	var out []span
	start := -1
	end := func(to int) {
		if start < 0 {
			return
		}
		from := start
		start = -1
		out = append(out, span{from, to})
		var parts []span
		eachPart(text[from:to], func(a, b int) { parts = append(parts, span{from + a, from + b}) })
		if len(parts) > 1 {
			out = append(out, parts...)
		}
		eachRun(text[from:to], func(a, b, size int) {
			if size > 0 {
				eachGram(text[from+a:from+b], size, func(c, d int) { out = append(out, span{from + a + c, from + a + d}) })
			}
		})
	}
	for i, r := range text {
		switch {
		case isWord(r) && start < 0:
			start = i
		case !isWord(r):
			end(i)
		}
	}
	end(len(text))
	return out
}

// marks gives the places of the words that matches says yes to, in order and without overlaps: units that overlap are one.
func marks(text string, matches func(word string) float64) (places []span, values []float64) {
	last := 0
	for _, t := range tokens(text) {
		if t.to <= last {
			continue // a part of a word that is marked as a whole
		}
		if v := matches(strings.ToLower(text[t.from:t.to])); v > 0 {
			if at := len(places) - 1; t.from < last {
				places[at].to, values[at], last = t.to, values[at]+v, t.to
				continue
			}
			places, values = append(places, t), append(values, v)
			last = t.to
		}
	}
	return places, values
}

// snippet cuts the part out of text that has the most telling of the marked words, each counted once, and gives the
// marks' places in it in characters. Cuts are made at white space where there is any, and shown as an ellipsis.
func snippet(text string, places []span, values []float64, length int) (string, [][2]int) {
	from := bestWindow(text, places, values, length)
	from, to := tidy(text, from, length)
	cut := strings.TrimRightFunc(text[from:to], unicode.IsSpace)
	to = from + len(cut)
	lead := ""
	if strings.TrimSpace(text[:from]) != "" {
		lead = "… "
	}
	tail := ""
	if strings.TrimSpace(text[to:]) != "" {
		tail = " …"
	}
	highlights := [][2]int{}
	for _, p := range places {
		if p.from >= from && p.to <= to {
			at := utf8.RuneCountInString(lead) + utf8.RuneCountInString(text[from:p.from])
			highlights = append(highlights, [2]int{at, at + utf8.RuneCountInString(text[p.from:p.to])})
		}
	}
	return lead + cut + tail, highlights
}

// bestWindow gives the begin of the window of length bytes whose marks are worth most; the first of equal ones.
func bestWindow(text string, places []span, values []float64, length int) int {
	best, begin := 0.0, 0
	for i := range places {
		seen := map[string]bool{}
		worth := 0.0
		for j := i; j < len(places) && places[j].to-places[i].from <= length; j++ {
			word := strings.ToLower(text[places[j].from:places[j].to])
			if seen[word] {
				worth += values[j] / 20 // said again: little more
				continue
			}
			seen[word] = true
			worth += values[j]
		}
		if worth > best*1.0001 {
			best, begin = worth, places[i].from
		}
	}
	return begin
}

// tidy moves the begin of a window back to where a sentence or line begins, if one is near, else to a word's begin, and gives its end.
func tidy(text string, at, length int) (from, to int) {
	lead := length / 4
	from = at
	floor := max(0, at-lead)
	for floor > 0 && !utf8.RuneStart(text[floor]) {
		floor--
	}
	before := text[floor:at]
	switch {
	case floor == 0:
		from = 0
	case strings.LastIndexAny(before, "\n") >= 0:
		from = floor + strings.LastIndexAny(before, "\n") + 1
	case strings.LastIndex(before, ". ") >= 0:
		from = floor + strings.LastIndex(before, ". ") + 2
	case strings.IndexFunc(before, unicode.IsSpace) >= 0:
		from = floor + strings.IndexFunc(before, unicode.IsSpace)
	}
	from += len(text[from:]) - len(strings.TrimLeftFunc(text[from:], unicode.IsSpace))
	if to = from + length; to >= len(text) {
		return from, len(text)
	}
	for to > from && !utf8.RuneStart(text[to]) {
		to--
	}
	if space := strings.LastIndexFunc(text[from:to], unicode.IsSpace); space > length/2 {
		to = from + space
	}
	return from, to
}
