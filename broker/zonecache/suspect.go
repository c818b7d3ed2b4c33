package zonecache

import (
	"context"
	"time"
)

const (
	// firstDoubt is how long a suspect is left alone before it is pinged, longestDoubt after many times.
	firstDoubt, longestDoubt = time.Second, 30 * time.Second
	pingTimeout              = 500 * time.Millisecond
)

// suspect is a broker that did not answer: it owns nothing until it answers a ping. One that answers pings and nothing
// else is left alone for longer each time.
type suspect struct {
	until   time.Time // it is not pinged before
	doubts  int       // how often it was suspected since it last gave a block
	cleared bool      // it answered a ping
	pinged  bool      // a ping is under way
}

// suspect stops asking a broker.
func (z *Zone) suspect(address string, why error) {
	if z.doubt(address) {
		z.metrics.suspected.Inc()
		z.opts.Logger.Info("broker of the zone does not lend blocks, asking the others", "address", address, "error", why)
	}
}

// doubt is false if the broker is a suspect already.
func (z *Zone) doubt(address string) bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	s := z.suspects[address]
	if s == nil {
		s = &suspect{cleared: true}
		z.suspects[address] = s
	}
	if !s.cleared {
		return false
	}
	s.cleared = false
	s.doubts++
	s.until = time.Now().Add(min(firstDoubt<<min(s.doubts-1, 10), longestDoubt))
	return true
}

// trust forgets what was held against a broker that gave a block.
func (z *Zone) trust(address string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if s := z.suspects[address]; s != nil && !s.pinged {
		delete(z.suspects, address)
	}
}

// passedOver tells whether a broker is suspected, and has it pinged when it is time: no load waits for that. z.mu is held.
func (z *Zone) passedOver(address string) bool {
	s := z.suspects[address]
	if s == nil || s.cleared {
		return false
	}
	if !s.pinged && !z.closed && !time.Now().Before(s.until) {
		s.pinged = true
		z.pings.Go(func() { z.ping(address, s) })
	}
	return true
}

func (z *Zone) ping(address string, s *suspect) {
	ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
	defer cancel()
	err := z.peers.Ping(ctx, address)
	z.mu.Lock()
	s.pinged, s.cleared = false, err == nil
	s.until = time.Now().Add(firstDoubt)
	z.mu.Unlock()
	if err == nil {
		z.opts.Logger.Info("broker of the zone answers again", "address", address)
	}
}
