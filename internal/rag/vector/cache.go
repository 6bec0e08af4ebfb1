package vector

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

type cacheKey struct {
	source, revision, embedder int64
	dimensions                 int
}

// loader builds what the cache lacks, perhaps from an older index of the same source and embedder. Before it takes
// memory it asks room for it.
type loader func(ctx context.Context, key cacheKey, r *room) (*index, error)

// errNoRoom says that there is no memory for an index now: it is searched without one.
var errNoRoom = errors.New("there is no room for another index")

// cache keeps indexes and drops the least recently asked ones. One number of bytes bounds all of them together: what is
// kept, what was dropped while a search still reads it, and what is being loaded. Searches that wait for the same one share its loading;
// loading ends when the last of them has gone.
type cache struct {
	limit    int64
	patience time.Duration // how long a loading waits for room
	load     loader

	mu      sync.Mutex
	held    int64 // of all three
	entries map[cacheKey]*entry
	recent  *list.List // of *entry that are kept, the most recently asked first
	flights map[cacheKey]*flight
	freed   chan struct{} // closed when room may have been made
	stats   Stats
}

// Stats are figures of the memory that exact searches use.
type Stats struct {
	Limit, Held    int64 // bytes; Held is never above Limit
	Kept           int   // indexes that are kept
	Loads          uint64
	Dropped        uint64 // kept ones that made way
	Waited         uint64 // loadings that had to wait for room
	WithoutIndexes uint64 // searches of a source that read its vectors, for want of room
}

// entry is an index and those who read it. One that was dropped is held until the last of them has gone.
type entry struct {
	key  cacheKey
	x    *index
	pins int
	at   *list.Element // nil: it was dropped
}

// flight is one loading and those who wait for it.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	e       *entry
	err     error
}

func newCache(limit int64, load loader) *cache {
	return &cache{
		limit: limit, patience: time.Second, load: load, entries: map[cacheKey]*entry{}, recent: list.New(), flights: map[cacheKey]*flight{},
		freed: make(chan struct{}),
	}
}

// get gives the index of key, from the cache or freshly loaded, and what ends its use. Who holds others already does
// not wait for room, which might be theirs. Errors: errNoRoom, *TooLargeError, those of the loader.
func (c *cache) get(ctx context.Context, key cacheKey, holdsOthers bool) (*index, func(), error) {
	c.mu.Lock()
	if e, found := c.entries[key]; found {
		c.recent.MoveToFront(e.at)
		e.pins++
		c.mu.Unlock()
		return e.x, c.release(e), nil
	}
	f := c.join(ctx, key, holdsOthers)
	c.mu.Unlock()
	select {
	case <-f.done:
		if f.err != nil {
			return nil, nil, f.err
		}
		return f.e.x, c.release(f.e), nil // pinned for each who waited
	case <-ctx.Done():
		c.leave(key, f)
		return nil, nil, ctx.Err()
	}
}

// release gives what ends the use of an entry; it may be called more than once.
func (c *cache) release(e *entry) func() {
	return sync.OnceFunc(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unpin(e)
	})
}

// unpin ends one use. The lock is held.
func (c *cache) unpin(e *entry) {
	if e.pins--; e.pins > 0 {
		return
	}
	if e.at == nil {
		c.held -= e.x.bytes()
	}
	c.wake() // a kept one may be dropped now
}

// wake tells those who wait for room to look again. The lock is held.
func (c *cache) wake() {
	close(c.freed)
	c.freed = make(chan struct{})
}

// join takes part in the loading of key, or begins it. The lock is held.
func (c *cache) join(ctx context.Context, key cacheKey, holdsOthers bool) *flight {
	if f, found := c.flights[key]; found {
		f.waiting++
		return f
	}
	// The loading belongs to all who wait, not to the first.
	loading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel, waiting: 1}
	c.flights[key] = f
	r := &room{c: c, old: c.relative(key)}
	if !holdsOthers {
		r.patience = c.patience
	}
	if r.old != nil {
		r.old.pins++
	}
	c.stats.Loads++
	go func() {
		defer cancel()
		x, err := c.load(loading, key, r)
		c.land(key, f, r, x, err)
	}()
	return f
}

func (c *cache) leave(key cacheKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-f.done: // it landed meanwhile, and is held for who left
		if f.err == nil {
			c.unpin(f.e)
		}
		return
	default:
	}
	if f.waiting--; f.waiting > 0 {
		return
	}
	f.cancel()
	// Who comes next must not join a loading that is being given up.
	if c.flights[key] == f {
		delete(c.flights, key)
	}
}

// land stores what was loaded and lets those who wait go on.
func (c *cache) land(key cacheKey, f *flight, r *room, x *index, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
	r.forget()
	c.held -= r.reserved
	if f.err = err; err == nil {
		f.e = c.store(key, x, f.waiting)
	}
	c.wake()
	close(f.done)
}

// store keeps an index in place of those of the same source's older revisions; pins searches read it already. The lock is held.
func (c *cache) store(key cacheKey, x *index, pins int) *entry {
	e := &entry{key: key, x: x, pins: pins}
	c.held += x.bytes()
	if before, found := c.entries[key]; found { // a loading that was given up has landed all the same
		c.drop(before)
	}
	for other, o := range c.entries {
		if other.source == key.source && other.embedder == key.embedder && other.revision < key.revision {
			c.drop(o)
		}
	}
	c.entries[key], e.at = e, c.recent.PushFront(e)
	return e
}

// drop stops keeping an entry. The lock is held.
func (c *cache) drop(e *entry) {
	c.recent.Remove(e.at)
	delete(c.entries, e.key)
	e.at = nil
	c.stats.Dropped++
	if e.pins == 0 {
		c.held -= e.x.bytes()
	}
}

// relative finds an index of another revision of the same source: most of it will be the same. The lock is held.
func (c *cache) relative(key cacheKey) *entry {
	var newest *entry
	for other, e := range c.entries {
		if other.source == key.source && other.embedder == key.embedder && (newest == nil || other.revision > newest.key.revision) {
			newest = e
		}
	}
	return newest
}

// figures gives the figures as they are now.
func (c *cache) figures() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.stats
	out.Limit, out.Held, out.Kept = c.limit, c.held, len(c.entries)
	return out
}

func (c *cache) readWithout() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.WithoutIndexes++
}

// room is the memory of one loading.
type room struct {
	c        *cache
	patience time.Duration // 0: it does not wait
	old      *entry        // what the loading may copy from; nil: nothing
	reserved int64
}

// index is what the loading may copy from; nil: nothing.
func (r *room) index() *index {
	if r.old == nil {
		return nil
	}
	return r.old.x
}

// forget gives up what might be copied from. The lock is held.
func (r *room) forget() {
	if r.old != nil {
		r.c.unpin(r.old)
		r.old = nil
	}
}

// take reserves memory: others make way that nobody reads; if that is not enough it does without what it might copy from, then it
// waits. Error: errNoRoom, or the context's.
func (r *room) take(ctx context.Context, bytes int64) error {
	c := r.c
	var late <-chan time.Time
	for {
		c.mu.Lock()
		if c.fits(bytes) {
			c.held += bytes
			r.reserved += bytes
			c.mu.Unlock()
			return nil
		}
		if r.old != nil {
			r.forget()
			c.mu.Unlock()
			continue
		}
		freed := c.freed
		if late == nil && r.patience > 0 {
			c.stats.Waited++
			t := time.NewTimer(r.patience)
			defer t.Stop()
			late = t.C
		}
		c.mu.Unlock()
		if late == nil {
			return errNoRoom
		}
		select {
		case <-freed:
		case <-late:
			return errNoRoom
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fits makes room for so many bytes, if that is possible now; if not, nothing is dropped. The lock is held.
func (c *cache) fits(bytes int64) bool {
	free := c.limit - c.held
	var way []*entry
	for at := c.recent.Back(); at != nil && free < bytes; at = at.Prev() {
		if e, ok := at.Value.(*entry); ok && e.pins == 0 {
			way = append(way, e)
			free += e.x.bytes()
		}
	}
	if free < bytes {
		return false
	}
	for _, e := range way {
		c.drop(e)
	}
	return true
}
