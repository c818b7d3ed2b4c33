package wire

import (
	"sync"
	"time"
)

// complaints bounds log lines about bad clients, of which there can be ten thousand in a second. Metrics count them all.
type complaints struct {
	mu         sync.Mutex
	second     time.Time
	logged     int // since then
	suppressed int // since the last line
}

const complaintsPerSecond = 20

// next tells whether to log, and how many complaints were not logged before.
func (c *complaints) next(now time.Time) (suppressed int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.second) >= time.Second {
		c.second, c.logged = now, 0
	}
	if c.logged >= complaintsPerSecond {
		c.suppressed++
		return 0, false
	}
	c.logged++
	suppressed, c.suppressed = c.suppressed, 0
	return suppressed, true
}
