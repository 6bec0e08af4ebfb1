package search

import (
	"slices"
	"strings"
)

// nearDuplicate is the share of words from which on two passages of a file say the same.
const nearDuplicate = 0.8

// collapse drops passages that say what a better one says already: the same text anywhere, nearly the same in the
// same file. At most perFile passages of a file stay while others can take their places.
func collapse(results []Result, perFile, n int) []Result {
	var kept, spare []int // places in results
	texts := map[string]bool{}
	files := map[int64][]int{}
	for i, r := range results {
		text := strings.Join(strings.Fields(r.Text), " ")
		if texts[text] || resembles(results, files[r.FileID], r) {
			continue
		}
		texts[text] = true
		if len(files[r.FileID]) >= perFile {
			spare = append(spare, i)
			continue
		}
		files[r.FileID] = append(files[r.FileID], i)
		if kept = append(kept, i); len(kept) == n {
			break
		}
	}
	if missing := n - len(kept); missing > 0 {
		kept = append(kept, spare[:min(missing, len(spare))]...)
		slices.Sort(kept)
	}
	out := make([]Result, len(kept))
	for i, at := range kept {
		out[i] = results[at]
	}
	return out
}

func resembles(results []Result, others []int, r Result) bool {
	if len(others) == 0 {
		return false
	}
	words := wordSet(r.Text)
	for _, at := range others {
		if overlap(words, wordSet(results[at].Text)) >= nearDuplicate {
			return true
		}
	}
	return false
}

func wordSet(text string) map[string]bool {
	set := map[string]bool{}
	for w := range strings.FieldsSeq(strings.ToLower(text)) {
		set[w] = true
	}
	return set
}

// overlap is the share of common words among all words of both.
func overlap(a, b map[string]bool) float64 {
	common := 0
	for w := range a {
		if b[w] {
			common++
		}
	}
	all := len(a) + len(b) - common
	if all == 0 {
		return 1
	}
	return float64(common) / float64(all)
}
