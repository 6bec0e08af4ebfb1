package chat

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxAutoTitle is how long a title that is made may be.
const maxAutoTitle = 72

// titleOf makes a title of a message: its first line, in title case, cut between
// words.
func titleOf(message string) string {
	line := ""
	for l := range strings.Lines(message) {
		if l = strings.TrimLeft(strings.TrimSpace(l), "#>*-` \t"); l != "" {
			line = l
			break
		}
	}
	words, out, length := strings.Fields(line), []string{}, 0
	for i, w := range words {
		w = titleWord(w, i == 0)
		n := utf8.RuneCountInString(w)
		if length+n+1 > maxAutoTitle {
			if len(out) == 0 {
				return string([]rune(w)[:maxAutoTitle-1]) + "…"
			}
			return strings.TrimRight(strings.Join(out, " "), ",;:") + "…"
		}
		out, length = append(out, w), length+n+1
	}
	return strings.TrimRight(strings.Join(out, " "), " .,;:")
}

// titleWord begins a word with a capital, unless it is a small word in the middle or
// has capitals of its own, as names of products do.
func titleWord(w string, first bool) string {
	small := []string{"a", "an", "and", "as", "at", "but", "by", "for", "from", "in", "into", "nor", "of", "on", "or", "the", "to", "vs", "with"}
	if !first && slices.Contains(small, strings.ToLower(w)) {
		return strings.ToLower(w)
	}
	if strings.IndexFunc(w, unicode.IsUpper) >= 0 || strings.ContainsAny(strings.TrimRight(w, ".,;:!?"), "/_.@") {
		return w
	}
	r, n := utf8.DecodeRuneInString(w)
	return string(unicode.ToTitle(r)) + w[n:]
}
