package wire

import (
	"context"
	"time"
)

// Connections is how many there are.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// AwaitQuiet returns when nothing is in flight and nothing was asked for a while, or when ctx ends. It goes on serving.
func (s *Server) AwaitQuiet(ctx context.Context, while time.Duration) {
	look := time.NewTicker(max(while/5, time.Millisecond))
	defer look.Stop()
	for !s.quiet(time.Now().Add(-while)) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// quiet tells whether all connections have been idle since the time.
func (s *Server) quiet(since time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.quiet(since) {
			return false
		}
	}
	return true
}

// quiet tells whether the connection has been idle since the time. One that is new counts as asked.
func (c *Conn) quiet(since time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.inFlight == 0 && c.replied.Before(since)
}
