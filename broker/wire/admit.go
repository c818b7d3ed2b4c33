package wire

import (
	"container/list"
	"fmt"
	"net"
	"time"
)

// door is an endpoint with the connections that came by it. The server's mu guards it.
type door struct {
	endpoint  *Endpoint
	conns     int
	strangers list.List // of *Conn, whose peers are not known yet; the oldest first
}

// mostDelay is the longest that a connection waits for its beginning.
const mostDelay = time.Minute

func (s *Server) doorOf(endpoint *Endpoint) *door {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.doors[endpoint]
	if d == nil {
		d = &door{endpoint: endpoint}
		s.doors[endpoint] = d
	}
	return d
}

// admit makes a connection that is to be served after a while, or none if it is to be closed.
func (s *Server) admit(nc net.Conn, d *door) (*Conn, time.Duration) {
	release, wait, ok := s.opts.Connections.Admit(d.endpoint.Name, hostOf(nc.RemoteAddr().String()))
	if !ok {
		s.refuse(nc, d, "not_admitted", 0)
		return nil, 0
	}
	wait = min(max(wait, 0), mostDelay)
	c, victims := s.newConn(nc, d, wait > 0)
	crowdOut(victims)
	if c == nil {
		if release != nil {
			release()
		}
		return nil, 0
	}
	c.release = release
	return c, wait
}

// newConn registers a connection, or returns nil if there is no place for it. It may take the places of others whose
// peers are not known yet: those are to be ended.
func (s *Server) newConn(nc net.Conn, d *door, delayed bool) (c *Conn, victims []*Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		reset(nc)
		return nil, nil
	case delayed && s.delayed >= s.opts.MaxDelayed:
		s.refuse(nc, d, "too_many_delayed", s.opts.MaxDelayed)
		return nil, nil
	}
	if d.endpoint.MaxConnections != nil {
		if limit := d.endpoint.MaxConnections(); limit > 0 && d.conns >= limit {
			if d.conns > limit || !s.takePlace(d, &victims) {
				s.refuseFull(nc, d, limit)
				return nil, nil
			}
		}
	}
	if limit := s.opts.MaxConnections(); len(s.conns) >= limit {
		if len(s.conns) > limit || !s.takePlace(s.mostStrangers(), &victims) {
			s.refuseFull(nc, d, limit)
			return nil, victims
		}
	}
	s.nextID++
	c = newConn(s, nc, s.nextID, d)
	s.conns[c] = struct{}{}
	d.conns++
	s.metrics.connections.Inc()
	if delayed {
		s.delayed++
	} else {
		s.enlist(c, &victims)
	}
	return c, victims
}

// takePlace takes the oldest stranger of a door off the books. Caller holds mu.
func (s *Server) takePlace(d *door, victims *[]*Conn) bool {
	if d == nil || d.strangers.Len() == 0 {
		return false
	}
	victim := d.strangers.Front().Value.(*Conn)
	s.forget(victim)
	*victims = append(*victims, victim)
	return true
}

// enlist makes a connection a stranger if its peer has something to prove. Another may have to go for it. Caller holds mu.
func (s *Server) enlist(c *Conn, victims *[]*Conn) {
	if !c.mustProve {
		return
	}
	if s.countStrangers() >= s.opts.MaxUnauthenticated() {
		s.takePlace(s.mostStrangers(), victims)
	}
	c.place = c.door.strangers.PushBack(c)
	s.metrics.strangers.Inc()
}

func crowdOut(victims []*Conn) {
	for _, victim := range victims {
		victim.fail(fmt.Errorf("%w: another connection takes its place", errCrowdedOut))
	}
}

// beginAfterDelay is for a connection whose delay has passed.
func (s *Server) beginAfterDelay(c *Conn) {
	s.mu.Lock()
	s.delayed--
	var victims []*Conn
	if _, there := s.conns[c]; there {
		s.enlist(c, &victims)
	}
	s.mu.Unlock()
	crowdOut(victims)
}

// welcome is for a connection whose peer is known.
func (s *Server) welcome(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unlist(c)
}

// unlist makes a connection a stranger no more. Caller holds mu.
func (s *Server) unlist(c *Conn) {
	if c.place != nil {
		c.door.strangers.Remove(c.place)
		c.place = nil
		s.metrics.strangers.Dec()
	}
}

// mostStrangers is the door with the most of them, the one with the oldest of two, so that a flood at one listener
// costs the clients of others nothing. Caller holds mu.
func (s *Server) mostStrangers() *door {
	var most *door
	for _, d := range s.doors {
		n := d.strangers.Len()
		if n == 0 {
			continue
		}
		if most == nil || n > most.strangers.Len() ||
			n == most.strangers.Len() && d.strangers.Front().Value.(*Conn).id < most.strangers.Front().Value.(*Conn).id {
			most = d
		}
	}
	return most
}

// countStrangers is for few doors. Caller holds mu.
func (s *Server) countStrangers() (n int) {
	for _, d := range s.doors {
		n += d.strangers.Len()
	}
	return n
}

// forget takes a connection off the books. Caller holds mu.
func (s *Server) forget(c *Conn) {
	s.unlist(c)
	if _, there := s.conns[c]; there {
		delete(s.conns, c)
		c.door.conns--
		s.metrics.connections.Dec()
	}
}

func (s *Server) removeConn(c *Conn) {
	s.mu.Lock()
	s.forget(c)
	s.mu.Unlock()
	if c.release != nil {
		c.release()
	}
}

// refuseFull counts and logs a connection for which there is no place. Caller holds mu.
func (s *Server) refuseFull(nc net.Conn, d *door, limit int) {
	if now := time.Now(); now.Sub(s.full) > 10*time.Second {
		s.full = now
		s.log.Warn("too many connections", "limit", limit, "listener", d.endpoint.Name, "peer", nc.RemoteAddr().String())
	}
	s.metrics.errors.WithLabelValues("too_many_connections").Inc()
}

// refuse counts and logs a connection that is closed for another reason before it began.
func (s *Server) refuse(nc net.Conn, d *door, reason string, limit int) {
	s.metrics.errors.WithLabelValues(reason).Inc()
	if suppressed, ok := s.complaints.next(time.Now()); ok {
		s.log.Warn("refusing client connection", "reason", reason, "limit", limit, "listener", d.endpoint.Name,
			"peer", nc.RemoteAddr().String(), "others_not_logged", suppressed)
	}
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
