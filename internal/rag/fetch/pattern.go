package fetch

import (
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// Limits of patterns.
const (
	MaxPatterns      = 100 // of a list
	MaxPatternLength = 300 // bytes
)

// CheckPattern says what is wrong with a pattern; "": nothing.
//
// A pattern is a path below the source, in which * and ? stand for characters of one
// name, ** for any number of folders, [a-z] for one of some characters and {a,b} for
// one of some texts. One without a slash holds for names at any depth. One that fits a
// folder means everything in it.
func CheckPattern(pattern string) string {
	switch {
	case strings.Trim(pattern, "/") == "":
		return "is empty; write a path such as docs/**/*.md, or a name such as *.go"
	case len(pattern) > MaxPatternLength:
		return "is too long; at most 300 bytes are accepted"
	case !utf8.ValidString(pattern) || strings.ContainsFunc(pattern, func(r rune) bool { return r < ' ' }):
		return "has characters that no pattern has (control characters, or bytes that are no UTF-8)"
	case strings.HasPrefix(pattern, "!"):
		return "begins with !; write what is to be left out into exclude"
	case hasDots(pattern):
		return "has . or .. as a part of its path; a pattern begins at the source's folder"
	case strings.Count(pattern, "**") > 5 || strings.Count(pattern, "{") > 5:
		return "has more than five ** or {"
	case !doublestar.ValidatePattern(pattern):
		return "cannot be read: a [, { or \\ in it is not complete"
	}
	return ""
}

func hasDots(pattern string) bool {
	for part := range strings.SplitSeq(pattern, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

// patterns is a list as it is matched.
type patterns []string

func compile(list []string) patterns {
	out := make(patterns, 0, len(list))
	for _, p := range list {
		p = strings.TrimSuffix(p, "/")
		if anchored, ok := strings.CutPrefix(p, "/"); ok {
			out = append(out, strings.TrimLeft(anchored, "/"))
			continue
		}
		if !strings.Contains(p, "/") {
			p = "**/" + p
		}
		out = append(out, p)
	}
	return out
}

// match tells whether one of the patterns fits the path itself.
func (p patterns) match(path string) bool {
	for _, pattern := range p {
		if doublestar.MatchUnvalidated(pattern, path) {
			return true
		}
	}
	return false
}

// covers tells whether one of the patterns fits the path or a folder that it lies in.
func (p patterns) covers(path string) bool {
	if p.match(path) {
		return true
	}
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path[:i], '/') {
		if p.match(path[:i]) {
			return true
		}
	}
	return false
}
