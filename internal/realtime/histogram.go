package realtime

import (
	"slices"
	"sync/atomic"
	"time"
)

// The bounds of the histograms; a value counts in the first bucket whose bound it
// does not exceed.
func latencyBounds() []float64 {
	return []float64{1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000} // milliseconds
}

func fanOutBounds() []float64 { return []float64{0, 1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000} }

// histogram is written by one and read by many.
type histogram struct {
	bounds []float64
	counts []atomic.Uint64 // one more than bounds
	sum    atomic.Uint64   // thousandths
}

func newHistogram(bounds []float64) *histogram {
	return &histogram{bounds: bounds, counts: make([]atomic.Uint64, len(bounds)+1)}
}

// add counts a value n times.
func (h *histogram) add(value float64, n uint64) {
	value = max(value, 0) // clocks differ
	i, _ := slices.BinarySearch(h.bounds, value)
	h.counts[i].Add(n)
	h.sum.Add(uint64(value*1000) * n)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Histogram is a distribution. Counts has one more member than Bounds.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum"`
}

func (h *histogram) snapshot() Histogram {
	out := Histogram{Bounds: h.bounds, Counts: make([]uint64, len(h.counts)), Sum: float64(h.sum.Load()) / 1000}
	for i := range h.counts {
		out.Counts[i] = h.counts[i].Load()
	}
	return out
}

// Count is the number of values.
func (h Histogram) Count() uint64 {
	n := uint64(0)
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Plus adds another distribution with the same bounds; one with others, of another
// release, is left out.
func (h Histogram) Plus(other Histogram) Histogram {
	if len(h.Bounds) == 0 {
		h = Histogram{Bounds: other.Bounds, Counts: make([]uint64, len(other.Counts))}
	}
	if !slices.Equal(h.Bounds, other.Bounds) || len(h.Counts) != len(other.Counts) {
		return h
	}
	out := Histogram{Bounds: h.Bounds, Counts: slices.Clone(h.Counts), Sum: h.Sum + other.Sum}
	for i, c := range other.Counts {
		out.Counts[i] += c
	}
	return out
}

// Quantile estimates the value below which the share q of the values lies, by
// interpolation within a bucket; what exceeds the last bound counts as that.
func (h Histogram) Quantile(q float64) float64 {
	rank, below, from := q*float64(h.Count()), 0.0, 0.0
	for i, bound := range h.Bounds {
		n := float64(h.Counts[i])
		if n > 0 && below+n >= rank {
			return from + (bound-from)*(rank-below)/n
		}
		below, from = below+n, bound
	}
	if h.Count() == 0 {
		return 0
	}
	return from
}

// Figures are the distributions that the hub keeps.
type Figures struct {
	Latency Histogram // milliseconds from an event's emitted_at to its hand-over to a socket, by receiver
	Lag     Histogram // milliseconds from an event's emitted_at to the hint's arrival here
	FanOut  Histogram // receivers of an event
}

// Figures gives the distributions since the start.
func (h *Hub) Figures() Figures {
	return Figures{Latency: h.latency.snapshot(), Lag: h.lag.snapshot(), FanOut: h.fanOut.snapshot()}
}
