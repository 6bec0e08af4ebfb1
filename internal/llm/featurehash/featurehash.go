// Package featurehash makes vectors of texts without a model: words and pieces of words
// are hashed onto dimensions. Texts that share words, or forms of them, are near each
// other; that they mean the same in other words is beyond it. It must not know
// providers.
//
// The same text gives the same vector in every process and release: vectors are stored.
package featurehash

import (
	"hash/fnv"
	"math"
	"strings"
	"unicode"
)

// The weights of what a word consists of. Short words say little, as they are mostly
// grammar; pieces let forms of a word meet.
const (
	wordWeight  = 1.0
	shortWeight = 0.2
	pieceWeight = 0.6 // of all pieces of a word together
	shortWord   = 3
	pieceLength = 3
)

// Vector gives the text's vector: of unit length, or zero if the text has neither
// letters nor digits. dimensions must be positive.
func Vector(text string, dimensions int) []float32 {
	sums := make([]float64, dimensions)
	order, counts := count(text)
	for _, word := range order { // in order, or the last bits of the sums would differ from call to call
		n := counts[word]
		times := 1 + math.Log(float64(n)) // a word said ten times is not ten times as telling
		runes := []rune(word)
		weight := wordWeight
		if len(runes) <= shortWord && runes[0] < 0x3000 {
			weight = shortWeight
		}
		add(sums, "w:"+word, weight*times)
		if len(runes) <= shortWord {
			continue
		}
		edged := []rune("^" + word + "$")
		pieces := len(edged) - pieceLength + 1
		each := weight * times * pieceWeight / math.Sqrt(float64(pieces))
		for i := range pieces {
			add(sums, "p:"+string(edged[i:i+pieceLength]), each)
		}
	}
	return unit(sums)
}

// Words splits a text into lower-case words: runs of letters, marks and digits, with
// parts of identifiers apart. Characters of scripts without spaces are words of their
// own.
func Words(text string) []string {
	var out []string
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			out = append(out, strings.ToLower(b.String()))
			b.Reset()
		}
	}
	var before rune
	for _, r := range text {
		switch {
		case r >= 0x3000 && unicode.IsLetter(r):
			end()
			out = append(out, string(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			if unicode.IsUpper(r) && unicode.IsLower(before) {
				end()
			}
			b.WriteRune(r)
		default:
			end()
		}
		before = r
	}
	end()
	return out
}

// count gives the words in the order in which they first come, and how often.
func count(text string) ([]string, map[string]int) {
	var order []string
	counts := map[string]int{}
	for _, w := range Words(text) {
		if counts[w] == 0 {
			order = append(order, w)
		}
		counts[w]++
	}
	return order, counts
}

// add puts a feature's weight onto one dimension, with a sign of its own, so that
// features that collide cancel out as often as they add up.
func add(sums []float64, feature string, weight float64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(feature)) // never fails
	// FNV's low bits mix poorly for short inputs.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	if x>>63 == 1 {
		weight = -weight
	}
	sums[x%uint64(len(sums))] += weight
}

func unit(sums []float64) []float32 {
	square := 0.0
	for _, s := range sums {
		square += s * s
	}
	out := make([]float32, len(sums))
	if square == 0 {
		return out
	}
	norm := math.Sqrt(square)
	for i, s := range sums {
		out[i] = float32(s / norm)
	}
	return out
}

// Cosine is how near two vectors of Vector are: 1 for the same, about 0 for texts
// that share nothing.
func Cosine(a, b []float32) float64 {
	sum := 0.0
	for i := range min(len(a), len(b)) {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
