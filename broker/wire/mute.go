package wire

import (
	"bufio"
	"errors"
	"net"
	"time"
)

// mostMuted bounds a mute against mistakes in quotas.
const mostMuted = time.Hour

// leastMutedWait is how often a reader looks whether the answer was sent from which on a mute counts.
const leastMutedWait = 10 * time.Millisecond

// Mute lets the connection read no further request for so long after the answer that is sent next, or from now on if none
// is under way: a client that took too much and does not heed its throttle time (KIP-219). Requests that were read go
// on. An hour is the most; of several mutes the one that ends last counts. Anybody may call it.
func (c *Conn) Mute(d time.Duration) {
	d = min(d, mostMuted)
	if d <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.muting = max(c.muting, d)
	if c.inFlight == 0 {
		c.startMute(time.Now())
	}
}

// startMute begins what Mute asked for. Caller holds mu.
func (c *Conn) startMute(now time.Time) {
	if c.muting == 0 {
		return
	}
	if until := now.Add(c.muting); until.After(c.muted) {
		c.muted = until
	}
	c.muting = 0
}

// muteEnds returns when to look again whether the connection is muted, and whether it is. Caller holds mu.
func (c *Conn) muteEnds() (time.Time, bool) {
	switch {
	case c.muting > 0:
		return time.Now().Add(max(c.muting, leastMutedWait)), true
	case c.muted.IsZero(): // as those of most connections
		return c.muted, false
	}
	return c.muted, time.Now().Before(c.muted)
}

// muteEndsNow is muteEnds for who does not hold mu.
func (c *Conn) muteEndsNow() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.muteEnds()
}

// idleAt is when the connection has been idle for too long. Muted time does not count. Caller holds mu.
func (c *Conn) idleAt() time.Time {
	since := c.replied
	if c.muted.After(since) {
		since = c.muted
	}
	return since.Add(c.srv.opts.IdleTimeout)
}

// sitOutMute waits until the connection is not muted. It takes what fits into the buffer, to learn when the peer goes
// away; what arrived before that is handled later all the same. False: nothing is to be read any more.
func (c *Conn) sitOutMute(br *bufio.Reader) bool {
	listening := true
	for {
		until, muted := c.muteEndsNow()
		if !muted {
			return true
		}
		if listening && br.Buffered() < br.Size() {
			c.setReadDeadline(until)
			_, err := br.Peek(br.Buffered() + 1)
			var timeout net.Error
			if err != nil && (!errors.As(err, &timeout) || !timeout.Timeout()) {
				if br.Buffered() == 0 {
					return false
				}
				listening = false
			}
		} else {
			c.pause(time.Until(until), c.stopped)
		}
		if c.isDraining() || c.alive.Err() != nil {
			return false
		}
	}
}
