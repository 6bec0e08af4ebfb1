// Package tokens estimates how many tokens a text is. It must not know models: what a
// model really counts comes from its provider, and callers correct by it.
//
// Tokenizers differ among models and releases; what all have in common is that Latin
// text has about four characters a token, and scripts with many characters about one.
package tokens

// Quarters is how many quarters of a token a character is about.
func Quarters(r rune) int {
	switch {
	case r < 0x80:
		return 1
	case r < 0x800: // Latin with marks, Greek, Cyrillic, Hebrew, Arabic
		return 2
	}
	return 4
}

// Estimate is how many tokens a text is about.
func Estimate(text string) int {
	quarters := 0
	for _, r := range text {
		quarters += Quarters(r)
	}
	return (quarters + 3) / 4
}

// Cut gives the longest beginning of a text that is at most limit tokens by the
// estimate, and whether that is less than the text.
func Cut(text string, limit int) (string, bool) {
	quarters := 0
	for i, r := range text {
		if quarters += Quarters(r); quarters > 4*limit {
			return text[:i], true
		}
	}
	return text, false
}
