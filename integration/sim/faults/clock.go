package faults

import (
	"sync"
	"time"
)

// Clock is the metastore's: ours, and as far ahead of it as it was set. All methods may run concurrently.
type Clock struct {
	mu     sync.Mutex
	ahead  time.Duration
	latest time.Time // that it has shown before its last jump
}

// Now is what to give memory.Options.Now.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Ahead()) }

// Jump sets the clock forward, or back if d is negative.
func (c *Clock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest = c.latestOf(time.Now())
	c.ahead += d
}

// Ahead is the sum of its jumps.
func (c *Clock) Ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead
}

// Latest is the latest time that it has ever shown.
func (c *Clock) Latest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latestOf(time.Now())
}

func (c *Clock) latestOf(now time.Time) time.Time {
	if shown := now.Add(c.ahead); shown.After(c.latest) {
		return shown
	}
	return c.latest
}
