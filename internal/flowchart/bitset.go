package flowchart

import "math/bits"

// bitset is a set of node indices. All sets of one plan have the same length.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (b bitset) add(i int)      { b[i>>6] |= 1 << (i & 63) }
func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }

func (b bitset) union(o bitset) {
	for i, w := range o {
		b[i] |= w
	}
}

func (b bitset) intersects(o bitset) bool {
	for i, w := range o {
		if b[i]&w != 0 {
			return true
		}
	}
	return false
}

// each calls fn for every member in ascending order.
func (b bitset) each(fn func(i int)) {
	for k, w := range b {
		for w != 0 {
			fn(k<<6 + bits.TrailingZeros64(w))
			w &= w - 1
		}
	}
}
