package chunk

// Tokens estimates how many tokens a text has. Tokenizers differ; what all have in
// common is that words have about four letters a token, signs about two, and scripts with
// many characters one. The estimate of texts that are joined is at most the sum of theirs.
func Tokens(s string) int { return (quarters(s) + 3) / 4 }

// quarters is Tokens in quarters of a token.
func quarters(s string) int {
	n := 0
	space := false
	for _, r := range s {
		blank := r == ' ' || r == '\t'
		switch {
		case blank && space: // indentation is few tokens
		case r < 0x80 && !sign(r):
			n++
		case r < 0x800: // signs; Latin with marks, Greek, Cyrillic, Hebrew, Arabic
			n += 2
		default:
			n += 4
		}
		space = blank
	}
	return n
}

func sign(r rune) bool {
	return r > ' ' && r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' && r != '_' || r > 'z'
}
