package bus

import (
	"sync"
	"time"
)

// canary remembers the markers that were sent through the transport and
// whether they came back.
type canary struct {
	mu      sync.Mutex
	sent    int64
	heard   int64
	sentAt  time.Time // of the oldest marker that has not come back
	heardAt time.Time
}

// next gives the marker to send.
func (c *canary) next(now time.Time) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent == c.heard {
		c.sentAt = now
	}
	c.sent++
	return c.sent
}

// hear notes a marker that came back.
func (c *canary) hear(marker int64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if marker > c.heard && marker <= c.sent {
		c.heard, c.heardAt = marker, now
		c.sentAt = now // of younger ones that are still out, this is late enough
	}
}

// missing reports whether a marker has been out for longer than patience.
func (c *canary) missing(now time.Time, patience time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sent > c.heard && now.Sub(c.sentAt) > patience
}

// forget gives up the markers that are out, for they went to a connection that
// is gone.
func (c *canary) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = c.sent
}

func (c *canary) lastHeard() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.heardAt
}
