package faults

import (
	"sync"
	"time"
)

// Clock is the metastore's: ours, and as far ahead of it as it was set. All methods may run concurrently.
type Clock struct {
	mu    sync.Mutex
	ahead time.Duration
	most  time.Duration // that it was ever ahead
}

// Now is what to give memory.Options.Now.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Ahead()) }

// Jump sets the clock forward, or back if d is negative.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
	c.most = max(c.most, c.ahead)
}

// Ahead is the sum of its jumps.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}

// Latest is the latest time that anybody may take for this clock's, who has not heard that it was set back.
func (c *Clock) Latest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.most)
}
