package control

import "strings"

// splitWords splits a command line as a POSIX shell does: blanks separate, quotes
// and backslashes keep. Nothing is expanded.
func splitWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune // the quote that is open
	open, escaped := false, false
	for _, c := range line {
		switch {
		case escaped:
			// Between double quotes a backslash keeps only quotes and backslashes.
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteRune('\\')
			}
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, open = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '"' || c == '\'':
			quote, open = c, true
		case strings.ContainsRune(" \t\r\n", c):
			if open {
				words = append(words, word.String())
				word.Reset()
			}
			open = false
		default:
			word.WriteRune(c)
			open = true
		}
	}
	switch {
	case quote != 0:
		return nil, invalid("No closing quotation")
	case escaped:
		return nil, invalid("No escaped character")
	case open:
		words = append(words, word.String())
	}
	return words, nil
}

// joinWords is the reverse of splitWords.
func joinWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = w
		if w == "" || strings.ContainsAny(w, " \t\r\n\"'\\") {
			quoted[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// nearest gives the candidate that a word was probably meant to be, or "".
func nearest(word string, candidates []string) string {
	best, least := "", 2 // one slip
	if len(word) > 4 {
		least = 3 // a longer word may have two
	}
	for _, c := range candidates {
		if d := distance(word, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or change.
func distance(a, b string) int {
	if len(a) > 32 { // no command is that long
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
