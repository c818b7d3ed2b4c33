package faults

import (
	"sync/atomic"
	"time"
)

// Clock is the metastore's: ours, and as far ahead of it as it was set. All methods may run concurrently.
type Clock struct{ ahead atomic.Int64 }

// Now is what to give memory.Options.Now.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Ahead()) }

// Jump sets the clock forward, or back if d is negative.
func (c *Clock) Jump(d time.Duration) { c.ahead.Add(int64(d)) }

// Ahead is the sum of its jumps.
func (c *Clock) Ahead() time.Duration { return time.Duration(c.ahead.Load()) }
