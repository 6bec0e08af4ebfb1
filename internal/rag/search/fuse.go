package search

import (
	"cmp"
	"slices"
)

// rankConstant damps the first ranks, as is usual for this way of joining lists: a passage that is second in both
// beats one that is first in one.
const rankConstant = 60

// fuseDepth is how far a list speaks for the join. With the usual constant, what is thirtieth in both lists would beat
// what is first in one, and that was measured to be wrong; what lies deeper only follows after, by its better rank.
const fuseDepth = 10

// list is one ranking that takes part, with its weight.
type list struct {
	hits   []hit
	weight float64
	vector bool
}

// fused is a chunk with its places in the lists.
type fused struct {
	id              int64
	score           float64
	deep            float64 // of a rank beyond fuseDepth, the best one
	lexical, vector int     // ranks from 1; 0: not in the list
	lexicalScore    float64
	vectorScore     float64
}

// fuse joins lists by reciprocal ranks. The score is 1 for what is first in all of them. Equal ones are ordered by
// their best rank, then by id, so that the order is always the same.
func fuse(lists []list) []fused {
	places := map[int64]*fused{}
	total := 0.0
	for _, l := range lists {
		total += l.weight / (rankConstant + 1)
		for i, h := range l.hits {
			f := places[h.id]
			if f == nil {
				f = &fused{id: h.id}
				places[h.id] = f
			}
			f.add(l, i+1, h.score)
		}
	}
	out := make([]fused, 0, len(places))
	for _, f := range places {
		if f.score == 0 {
			f.score = f.deep
		}
		f.score /= total
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b fused) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.bestRank(), b.bestRank()), cmp.Compare(a.id, b.id))
	})
	return out
}

func (f *fused) add(l list, rank int, score float64) {
	worth := l.weight / float64(rankConstant+rank)
	if rank <= fuseDepth {
		f.score += worth
	} else {
		f.deep = max(f.deep, worth)
	}
	if l.vector {
		f.vector, f.vectorScore = rank, score
	} else {
		f.lexical, f.lexicalScore = rank, score
	}
}

func (f *fused) bestRank() int {
	switch {
	case f.lexical == 0:
		return f.vector
	case f.vector == 0:
		return f.lexical
	}
	return min(f.lexical, f.vector)
}
