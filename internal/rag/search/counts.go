package search

import (
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// maxCounts bounds the words whose numbers are kept, of some hundred bytes each.
	maxCounts = 20_000
	// countsFor is how long a number is believed. The revisions of the sources are part of its name; what may change is only that
	// chunks of earlier revisions, which it includes, are removed.
	countsFor = 5 * time.Minute
)

// counts keeps how many chunks of some revisions have a word. It is safe for concurrent use; that of nil keeps nothing.
type counts struct {
	now func() time.Time

	mu   sync.Mutex
	list map[string]counted
}

type counted struct {
	n  int
	at time.Time
}

func newCounts(now func() time.Time) *counts { return &counts{now: now, list: map[string]counted{}} }

func countKey(sources []source, query string) string {
	key := make([]byte, 0, 20*len(sources)+len(query))
	for _, s := range sources {
		key = strconv.AppendInt(key, s.ID, 36)
		key = append(key, '@')
		key = strconv.AppendInt(key, s.Revision, 36)
		key = append(key, ' ')
	}
	return string(append(key, query...))
}

// tooMany is how many sources make a name too long to keep.
const tooMany = 32

func (c *counts) get(sources []source, query string) (n int, known bool) {
	if c == nil || len(sources) == 0 || len(sources) > tooMany {
		return 0, false
	}
	key := countKey(sources, query)
	c.mu.Lock()
	defer c.mu.Unlock()
	found, known := c.list[key]
	return found.n, known && c.now().Sub(found.at) < countsFor
}

func (c *counts) put(sources []source, query string, n int) {
	if c == nil || len(sources) == 0 || len(sources) > tooMany {
		return
	}
	key := countKey(sources, query)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.list) >= maxCounts {
		c.clear()
	}
	c.list[key] = counted{n: n, at: c.now()}
}

// clear drops the older half. The lock is held.
func (c *counts) clear() {
	times := make([]time.Time, 0, len(c.list))
	for _, x := range c.list {
		times = append(times, x.at)
	}
	slices.SortFunc(times, time.Time.Compare)
	middle := times[len(times)/2]
	for key, x := range c.list {
		if !x.at.After(middle) {
			delete(c.list, key)
		}
	}
}
