package queue

import "time"

// Rate is how many a minute, over the last one, five and sixty minutes.
type Rate struct{ M1, M5, M60 float64 }

// Rates gives how many jobs went in and how many attempts ended.
func (q *Stats) Rates(at time.Time) (enqueued, finished Rate) {
	of := func(n func(Minute) int64) Rate {
		return Rate{M1: q.rate(at, 1, n), M5: q.rate(at, 5, n), M60: q.rate(at, 60, n)}
	}
	return of(func(m Minute) int64 { return m.Enqueued }), of(func(m Minute) int64 { return m.Finished })
}

// rate slides over whole minutes: the minute that has just begun counts as it is, and
// the oldest one with the share of it that lies in the window.
func (q *Stats) rate(at time.Time, minutes int, n func(Minute) int64) float64 {
	current := at.Truncate(time.Minute)
	oldest := current.Add(-time.Duration(minutes) * time.Minute)
	left := 1 - at.Sub(current).Seconds()/60
	sum := 0.0
	for _, m := range q.Minutes {
		switch {
		case m.Minute.After(oldest):
			sum += float64(n(m))
		case m.Minute.Equal(oldest):
			sum += left * float64(n(m))
		}
	}
	return sum / float64(minutes)
}

// Distributions add up the buckets of all minutes.
func (q *Stats) Distributions() (waited, took []int64) {
	waited, took = make([]int64, len(Bounds())+1), make([]int64, len(Bounds())+1)
	for _, m := range q.Minutes {
		addBuckets(waited, m.Waited)
		addBuckets(took, m.Took)
	}
	return waited, took
}

// addBuckets ignores buckets that this release does not know.
func addBuckets(sum, add []int64) {
	for i := range min(len(sum), len(add)) {
		sum[i] += add[i]
	}
}

// Quantile gives the value below which a share of the counts lies, in seconds, taken
// evenly within its bucket. What is beyond the last bound counts as that bound. ok is
// false when nothing was counted.
func Quantile(counts []int64, share float64) (seconds float64, ok bool) {
	bounds, total, before := Bounds(), int64(0), int64(0)
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0, false
	}
	rank := share * float64(total)
	for i, n := range counts {
		if i >= len(bounds) {
			break
		}
		if n > 0 && float64(before+n) >= rank {
			lower := 0.0
			if i > 0 {
				lower = bounds[i-1]
			}
			return lower + (bounds[i]-lower)*(rank-float64(before))/float64(n), true
		}
		before += n
	}
	return bounds[len(bounds)-1], true
}

// shownMinutes is how many minutes the figures reach back, the current one included.
const shownMinutes = 60

// Hour gives the last minutes one by one, oldest first; those without a row are empty.
func (q *Stats) Hour(at time.Time) []Minute {
	current := at.Truncate(time.Minute)
	out := make([]Minute, shownMinutes)
	for i := range out {
		out[i].Minute = current.Add(time.Duration(i-shownMinutes+1) * time.Minute)
	}
	for _, m := range q.Minutes {
		if i := shownMinutes - 1 - int(current.Sub(m.Minute)/time.Minute); i >= 0 && i < shownMinutes {
			out[i] = m
		}
	}
	return out
}
