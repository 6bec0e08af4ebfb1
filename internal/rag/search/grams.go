package search

import (
	"unicode"
	"unicode/utf8"
)

// gramSize is how many characters make a unit in a script whose words are not separated: two where a character stands for
// a syllable or a meaning, three where it stands for a sound. 0: words are separated.
func gramSize(r rune) int {
	switch {
	case r < 0x0E00:
		return 0
	case unicode.In(r, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar):
		return 3
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul), r == 'ー', r == 'ｰ':
		return 2
	}
	return 0
}

// eachRun gives the places of a text's runs: of one script without spaces, with the size of its units, or of anything
// else, with 0.
func eachRun(text string, f func(from, to, size int)) {
	start, size := 0, 0
	for i, r := range text {
		n := gramSize(r)
		if n > 0 && !isWord(r) {
			n = 0 // its punctuation
		}
		if n != size && i > start {
			f(start, i, size)
			start = i
		}
		size = n
	}
	if start < len(text) {
		f(start, len(text), size)
	}
}

// eachGram gives the places of a run's units, which overlap. Every character begins one, so that what is shorter than a
// unit is found as the beginning of one: at the end of the run they are shorter.
func eachGram(run string, size int, f func(from, to int)) {
	for from := range run {
		to := from
		for n := 0; n < size && to < len(run); n++ {
			_, width := utf8.DecodeRuneInString(run[to:])
			to += width
		}
		f(from, to)
	}
}

// queryGrams gives the units that a question's run is looked up by, and whether it is shorter than one.
func queryGrams(run string, size int) (grams []string, short bool) {
	if utf8.RuneCountInString(run) < size {
		return []string{run}, true
	}
	eachGram(run, size, func(from, to int) {
		if utf8.RuneCountInString(run[from:to]) == size {
			grams = append(grams, run[from:to])
		}
	})
	return grams, false
}
