package chunk

// Tokens estimates how many tokens a text has. Tokenizers differ; what all have in
// common is that words have about four letters a token, signs about two, and scripts with
// many characters one. The estimate of texts that are joined is at most the sum of theirs.
func Tokens(s string) int { return (quarters(s) + 3) / 4 }

// quarters is Tokens in quarters of a token.
func quarters(s string) int {
	n := 0
	space := false
	for i := range len(s) {
		c := s[i]
		if c >= 0x80 {
			n += wide(c)
			space = false
			continue
		}
		blank := c == ' ' || c == '\t'
		switch {
		case blank && space: // indentation is few tokens
		case sign(c):
			n += 2
		default:
			n++
		}
		space = blank
	}
	return n
}

// wide is what a byte of a longer character counts: all of it with its first byte.
func wide(c byte) int {
	switch {
	case c < 0xc0:
		return 0
	case c < 0xe0: // Latin with marks, Greek, Cyrillic, Hebrew, Arabic
		return 2
	default:
		return 4
	}
}

func sign(c byte) bool {
	return c > ' ' && c < '0' || c > '9' && c < 'A' || c > 'Z' && c < 'a' && c != '_' || c > 'z'
}
