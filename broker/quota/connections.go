package quota

import (
	"net/netip"
	"sync"
	"time"
)

// ConnectionLimits are what new connections by a listener are held to, beside the quotas of addresses. 0 is no limit of a
// rate.
type ConnectionLimits struct {
	PerIP     int                // max.connections.per.ip; 0 refuses all that Overrides does not name
	Overrides map[netip.Addr]int // max.connections.per.ip.overrides
	Rate      float64            // max.connection.creation.rate, per second, of the broker
	Listener  float64            // the same of the listener
}

// Connections decides on new connections (KIP-612). Those above a rate of broker or listener wait for their turn, for a whole
// window at most; those above the quota of their address are closed, after the delay that keeps the address from
// trying again at once; those above the number for their address are closed.
type Connections struct {
	limiter *Limiter
	limits  func(endpoint string) ConnectionLimits
	now     func() time.Time

	mu        sync.Mutex
	hosts     map[netip.Addr]*host
	sweepAt   int
	broker    Rate
	listeners map[string]*Rate // there are as many as listeners
}

// host is an address that has connections, or tried of late.
type host struct {
	connections int
	rate        Rate
	tried       time.Time
}

// NewConnections makes a Connections under the quotas of a limiter.
func NewConnections(l *Limiter, limits func(endpoint string) ConnectionLimits, now func() time.Time) *Connections {
	return &Connections{limiter: l, limits: limits, now: now, hosts: make(map[netip.Addr]*host), sweepAt: leastSweep, listeners: make(map[string]*Rate)}
}

// Admit tells what becomes of a connection: after the wait it is served if ok, and closed if not. release is called once, when
// one that was ok has ended.
func (c *Connections) Admit(endpoint, address string) (release func(), wait time.Duration, ok bool) {
	now, limits, quota := c.now(), c.limits(endpoint), c.limiter.Index().connections(address)
	ip := addressOf(address)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.host(ip, now)
	most, named := limits.Overrides[ip]
	if !named {
		most = limits.PerIP
	}
	if h.connections >= most {
		c.refused("too_many_per_ip")
		return nil, 0, false
	}
	w := c.limiter.opts.Window
	if wait := c.count(&h.rate, quota, now); wait > 0 {
		h.rate.Record(w, -1, now)
		c.refused("ip_rate")
		c.limiter.metrics.throttled(Connection, min(wait, w.Size))
		return nil, min(wait, w.Size), false
	}
	listener := c.listeners[endpoint]
	if listener == nil {
		listener = new(Rate)
		c.listeners[endpoint] = listener
	}
	wait = max(c.count(&c.broker, limits.Rate, now), c.count(listener, limits.Listener, now))
	if wait > w.span() {
		c.broker.Record(w, -1, now)
		listener.Record(w, -1, now)
		c.refused("rate")
		return nil, 0, false
	}
	if wait > 0 {
		c.refused("delayed")
		c.limiter.metrics.throttled(Connection, wait)
	}
	h.connections++
	return func() { c.release(ip) }, wait, true
}

// count notes a connection, and tells by how much it is too early. Caller holds mu.
func (c *Connections) count(r *Rate, limit float64, now time.Time) time.Duration {
	w := c.limiter.opts.Window
	r.Record(w, 1, now)
	if limit <= 0 {
		return 0
	}
	return r.throttle(w, limit, now)
}

func (c *Connections) refused(outcome string) {
	c.limiter.metrics.refused.WithLabelValues(outcome).Inc()
}

// host finds or makes the entry of an address. Caller holds mu.
func (c *Connections) host(ip netip.Addr, now time.Time) *host {
	h := c.hosts[ip]
	if h == nil {
		if len(c.hosts) >= c.sweepAt {
			for ip, h := range c.hosts {
				if h.connections == 0 && now.Sub(h.tried) > c.limiter.opts.Window.span() {
					delete(c.hosts, ip)
				}
			}
			c.sweepAt = max(leastSweep, 2*len(c.hosts))
		}
		h = new(host)
		c.hosts[ip] = h
	}
	h.tried = now
	return h
}

func (c *Connections) release(ip netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hosts[ip]; h != nil {
		h.connections--
	}
}
