package vector

import (
	"container/list"
	"context"
	"sync"
)

type cacheKey struct {
	source, revision, embedder int64
	dimensions                 int
}

// loader builds what the cache lacks, perhaps from an older index of the same source and embedder.
type loader func(ctx context.Context, key cacheKey, old *index, limit int64) (*index, error)

// cache keeps indexes up to a number of bytes and drops the least recently asked ones. Searches that wait for the same
// one share its loading; loading ends when the last of them has gone.
type cache struct {
	limit int64
	load  loader

	mu      sync.Mutex
	used    int64
	entries map[cacheKey]*list.Element // of *entry, the most recently asked first
	recent  *list.List
	flights map[cacheKey]*flight
	loaded  int // how often; for tests
}

type entry struct {
	key cacheKey
	x   *index
}

// flight is one loading and those who wait for it.
type flight struct {
	done    chan struct{}
	cancel  context.CancelFunc
	waiting int
	x       *index
	err     error
}

func newCache(limit int64, load loader) *cache {
	return &cache{limit: limit, load: load, entries: map[cacheKey]*list.Element{}, recent: list.New(), flights: map[cacheKey]*flight{}}
}

// get gives the index of key, from the cache or freshly loaded.
func (c *cache) get(ctx context.Context, key cacheKey) (*index, error) {
	c.mu.Lock()
	if at, found := c.entries[key]; found {
		c.recent.MoveToFront(at)
		c.mu.Unlock()
		return valueOf(at).x, nil
	}
	f := c.join(ctx, key)
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.x, f.err
	case <-ctx.Done():
		c.leave(key, f)
		return nil, ctx.Err()
	}
}

// join takes part in the loading of key, or begins it. The lock is held.
func (c *cache) join(ctx context.Context, key cacheKey) *flight {
	if f, found := c.flights[key]; found {
		f.waiting++
		return f
	}
	// The loading belongs to all who wait, not to the first.
	loading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{done: make(chan struct{}), cancel: cancel, waiting: 1}
	c.flights[key] = f
	old := c.relative(key)
	c.loaded++
	go func() {
		defer cancel()
		f.x, f.err = c.load(loading, key, old, c.limit)
		c.land(key, f)
	}()
	return f
}

func (c *cache) leave(key cacheKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
func (c *cache) land(key cacheKey, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
	if f.err == nil {
		c.store(key, f.x)
	}
	close(f.done)
}

// store adds an index in place of those of the same source's older revisions, and makes room. The lock is held.
func (c *cache) store(key cacheKey, x *index) {
	if _, found := c.entries[key]; found {
		return
	}
	for other, at := range c.entries {
		if other.source == key.source && other.embedder == key.embedder && other.revision < key.revision {
			c.drop(at)
		}
	}
	c.entries[key] = c.recent.PushFront(&entry{key: key, x: x})
	c.used += x.bytes()
	for c.used > c.limit && c.recent.Len() > 1 {
		c.drop(c.recent.Back())
	}
}

func (c *cache) drop(at *list.Element) {
	e := valueOf(at)
	c.recent.Remove(at)
	delete(c.entries, e.key)
	c.used -= e.x.bytes()
}

// relative finds an index of another revision of the same source: most of it will be the same. The lock is held.
func (c *cache) relative(key cacheKey) *index {
	var (
		newest int64 = -1
		x      *index
	)
	for other, at := range c.entries {
		if other.source == key.source && other.embedder == key.embedder && other.revision > newest {
			newest, x = other.revision, valueOf(at).x
		}
	}
	return x
}

func valueOf(at *list.Element) *entry {
	e, _ := at.Value.(*entry) // nothing else is put into the list
	return e
}
