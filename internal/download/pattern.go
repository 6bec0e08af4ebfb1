package download

import (
	"strings"
	"unicode/utf8"
)

// The hub's own library selects files by Python's fnmatch, case-sensitive: * and ?
// also match a slash, [seq] and [!seq] are sets, a pattern that ends with a slash
// means everything below it, and a backslash is a slash. People bring patterns
// from there, so these mean the same here.

// selects tells whether path is wanted: it matches one of include, if there are
// any, and none of exclude.
func selects(path string, include, exclude []pattern) bool {
	wanted := len(include) == 0
	for _, p := range include {
		wanted = wanted || p.match(path)
	}
	if !wanted {
		return false
	}
	for _, p := range exclude {
		if p.match(path) {
			return false
		}
	}
	return true
}

// pattern is a compiled fnmatch pattern.
type pattern []token

type token struct {
	star    bool
	any     bool
	negated bool
	literal rune
	set     []span // a set, if not nil
}

type span struct{ from, to rune }

// compilePattern never fails: what is no set is a literal.
func compilePattern(text string) pattern {
	text = strings.ReplaceAll(text, `\`, "/")
	if strings.HasSuffix(text, "/") {
		text += "*"
	}
	var out pattern
	runes := []rune(text)
	for i := 0; i < len(runes); {
		c := runes[i]
		i++
		switch c {
		case '*':
			if len(out) == 0 || !out[len(out)-1].star {
				out = append(out, token{star: true})
			}
		case '?':
			out = append(out, token{any: true})
		case '[':
			if t, end, ok := compileSet(runes, i); ok {
				out, i = append(out, t), end
				continue
			}
			out = append(out, token{literal: c})
		default:
			out = append(out, token{literal: c})
		}
	}
	return out
}

func compilePatterns(texts []string) []pattern {
	out := make([]pattern, len(texts))
	for i, t := range texts {
		out[i] = compilePattern(t)
	}
	return out
}

// compileSet reads a set whose [ is before i; end is behind its ]. A set that is
// not closed is none.
func compileSet(runes []rune, i int) (t token, end int, ok bool) {
	j := i
	if j < len(runes) && runes[j] == '!' {
		j++
	}
	if j < len(runes) && runes[j] == ']' {
		j++ // as the first member it is itself
	}
	for j < len(runes) && runes[j] != ']' {
		j++
	}
	if j >= len(runes) {
		return token{}, 0, false
	}
	body := runes[i:j]
	t.set = []span{}
	if len(body) > 0 && body[0] == '!' {
		t.negated, body = true, body[1:]
	}
	for k := 0; k < len(body); {
		if k+2 < len(body) && body[k+1] == '-' {
			if body[k] <= body[k+2] {
				t.set = append(t.set, span{body[k], body[k+2]})
			}
			k += 3
			continue
		}
		t.set = append(t.set, span{body[k], body[k]})
		k++
	}
	return t, j + 1, true
}

func (t token) takes(r rune) bool {
	switch {
	case t.any:
		return true
	case t.set == nil:
		return r == t.literal
	}
	for _, s := range t.set {
		if s.from <= r && r <= s.to {
			return !t.negated
		}
	}
	return t.negated
}

// match compares the whole of text. It goes back to the last star only, so it
// takes at most len(pattern) x len(text) steps.
func (p pattern) match(text string) bool {
	at, next := 0, 0
	star, mark := -1, 0
	for at < len(text) {
		r, width := utf8.DecodeRuneInString(text[at:])
		switch {
		case next < len(p) && p[next].star:
			star, mark = next, at
			next++
		case next < len(p) && p[next].takes(r):
			next++
			at += width
		case star >= 0:
			_, skip := utf8.DecodeRuneInString(text[mark:])
			mark += skip
			at, next = mark, star+1
		default:
			return false
		}
	}
	for next < len(p) && p[next].star {
		next++
	}
	return next == len(p)
}
