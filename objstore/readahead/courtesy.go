package readahead

import (
	"context"
	"sync"
	"time"
)

// courtesy slows the loading of old records down while readers at the tail are served and the processors are short of
// time: a catch-up read takes whatever it can get, and what it gets on a busy machine is taken from the tail. How short
// they are shows in how late timers are, whoever it is that keeps them busy: this process, or a store beside it.
//
// The rate goes down by a fifth with each look at busy processors and up by a tenth with each look at idle ones, so it
// settles where there is just some time left (as TCP's window does, Chiu and Jain 1989). Without anybody at the tail, or with
// processors to spare, there is no limit.
type courtesy struct {
	mu      sync.Mutex
	rate    float64       // bytes per second; 0: no limit
	next    time.Time     // when the next load may begin
	tail    time.Time     // when the tail was last served
	loads   time.Time     // when a load last began
	loaded  int64         // bytes begun since the last look
	late    time.Duration // of timers, since the last look
	timers  int
	looked  time.Time
	looking bool // a goroutine looks at timers
}

const (
	courtesyTimer = 5 * time.Millisecond
	courtesyLook  = 100 * time.Millisecond
	courtesyTail  = time.Second // how long a served tail counts
	courtesyLate  = 1500 * time.Microsecond
	courtesyDown  = 0.8
	courtesyUp    = 1.1
	courtesyLeast = 64 << 20 // bytes per second: whoever is behind must get on
)

// hurry says that the tail is being served.
func (c *courtesy) hurry(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail = now
}

// begin reserves a load of so many bytes and returns how long it has to wait. look tells that timers must be looked at, with watch,
// by a goroutine of the caller's.
func (c *courtesy) begin(now time.Time, bytes int64) (wait time.Duration, look bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.tail) > courtesyTail {
		c.rate = 0
		return 0, false
	}
	c.loads = now
	c.loaded += bytes
	look, c.looking = !c.looking, true
	if c.rate == 0 {
		return 0, look
	}
	if c.next.Before(now) {
		c.next = now
	}
	wait = c.next.Sub(now)
	c.next = c.next.Add(time.Duration(float64(bytes) / c.rate * float64(time.Second)))
	return wait, look
}

// watch looks at timers until ctx ends, or nothing was loaded beside the tail for a while.
func (c *courtesy) watch(ctx context.Context) {
	timer := time.NewTimer(courtesyTimer)
	defer timer.Stop()
	for ; ; timer.Reset(courtesyTimer) {
		due := time.Now().Add(courtesyTimer)
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		if now := time.Now(); !c.timer(now, now.Sub(due)) {
			return
		}
	}
}

// timer takes a timer that was so late into account, and tells whether to go on.
func (c *courtesy) timer(now time.Time, late time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late += late
	c.timers++
	if since := now.Sub(c.looked); since >= courtesyLook {
		c.adjust(c.late/time.Duration(c.timers), float64(c.loaded)/since.Seconds(), since > 2*courtesyLook)
		c.looked, c.late, c.timers, c.loaded = now, 0, 0, 0
	}
	c.looking = now.Sub(c.loads) < courtesyTail && now.Sub(c.tail) < courtesyTail
	if !c.looking {
		c.rate = 0
	}
	return c.looking
}

// adjust moves the rate, given how late timers are and the bytes per second that were begun. Caller holds mu.
func (c *courtesy) adjust(late time.Duration, loaded float64, first bool) {
	switch {
	case first: // what was loaded since the last look says nothing
	case late > courtesyLate && c.rate == 0:
		c.rate = max(loaded*courtesyDown, courtesyLeast)
	case late > courtesyLate:
		c.rate = max(c.rate*courtesyDown, courtesyLeast)
	case c.rate > 2*loaded+courtesyLeast:
		c.rate = 0 // it is not what limits
	default:
		c.rate *= courtesyUp
	}
}
