package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Network connects parties in memory: brokers and clients, each a Host with an address of its own. Bytes take a latency,
// arrive in order, and can be held up: by a cut between two parties, or by the pause of one. What is held up arrives when
// the cut is healed, as with TCP, which sends again what was not acknowledged; whoever waits does so for ever, or until a
// deadline of its own. All methods may run concurrently.
type Network struct {
	trace *Trace

	// mu guards all that belongs to the network, down to the buffers of connections. Nobody waits while holding it, except
	// on conditions that give it up.
	mu      sync.Mutex
	rand    *rand.Rand
	changed *sync.Cond // cuts, pauses and hosts changed: what dials and listeners wait for
	hosts   map[string]*Host
	names   map[netip.Addr]string
	cuts    map[route]bool
	paused  map[string]bool
	base    map[route]time.Duration
	conns   map[int64]*conn
	nextID  int64
}

// route is a direction between two parties, by name.
type route struct{ from, to string }

const (
	// leastLatency and mostLatency bound how long bytes take one way, between brokers of one region. Each direction between
	// two parties has a latency of its own; each message takes up to a quarter more.
	leastLatency = 100 * time.Microsecond
	mostLatency  = 1500 * time.Microsecond
	// window is how many bytes of one direction of a connection may be under way or unread.
	window = 256 << 10
	// backlog is how many connections a listener may have that were not accepted.
	backlog = 128
)

// NewNetwork returns a network without parties, whose latencies are drawn from r.
func NewNetwork(r *rand.Rand, trace *Trace) *Network {
	n := &Network{
		trace: trace, rand: r, hosts: make(map[string]*Host), names: make(map[netip.Addr]string), cuts: make(map[route]bool),
		paused: make(map[string]bool), base: make(map[route]time.Duration), conns: make(map[int64]*conn),
	}
	n.changed = sync.NewCond(&n.mu)
	return n
}

// Host is a party from its start to its end. One that starts again under the same name is another Host, at the same
// address. It is a broker's node.Network.
type Host struct {
	net  *Network
	name string
	ip   netip.Addr

	// Under net.mu.
	down      bool
	listeners map[uint16]*listener
	lastPort  uint16
}

// errDown is what calls on the network get after the crash of their host.
var errDown = errors.New("this host has crashed")

// Host starts a party. There must be none running under the name.
func (n *Network) Host(name string) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before := n.hosts[name]; before != nil && !before.down {
		panic("sim: two hosts named " + name)
	}
	h := &Host{net: n, name: name, ip: n.address(name), listeners: make(map[uint16]*listener), lastPort: 40000}
	if before := n.hosts[name]; before != nil {
		h.ip, h.lastPort = before.ip, before.lastPort
	}
	n.hosts[name] = h
	n.wake()
	return h
}

// address gives each name an address, 10.0.0.1 the first. Caller holds mu.
func (n *Network) address(name string) netip.Addr {
	for ip, known := range n.names {
		if known == name {
			return ip
		}
	}
	number := len(n.names) + 1
	ip := netip.AddrFrom4([4]byte{10, 0, byte(number >> 8), byte(number)})
	n.names[ip] = name
	return ip
}

// Name is the name of the party.
func (h *Host) Name() string { return h.name }

// IP is the address of the party.
func (h *Host) IP() string { return h.ip.String() }

// Listen opens a port. address is host:port; its host must be that of h, or a wildcard.
func (h *Host) Listen(ctx context.Context, _, address string) (net.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case h.down:
		return nil, errDown
	case at.Addr() != h.ip && !at.Addr().IsUnspecified():
		return nil, h.fail("listen", syscall.EADDRNOTAVAIL)
	case h.listeners[at.Port()] != nil:
		return nil, h.fail("listen", syscall.EADDRINUSE)
	}
	port := at.Port()
	if port == 0 {
		port = h.ephemeral()
	}
	l := &listener{host: h, at: netip.AddrPortFrom(h.ip, port)}
	h.listeners[port] = l
	return l, nil
}

func (h *Host) fail(op string, why error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: why}
}

func (h *Host) ephemeral() uint16 {
	h.lastPort++
	return h.lastPort
}

// DialContext connects to a port of another party, or of h itself.
func (h *Host) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	to, ok := n.names[at.Addr()]
	if !ok {
		return nil, h.fail("dial", syscall.EHOSTUNREACH)
	}
	there, back := route{h.name, to}, route{to, h.name}
	if err := h.travel(ctx, there, back); err != nil {
		return nil, err
	}
	var l *listener
	if target := n.hosts[to]; target != nil && !target.down {
		l = target.listeners[at.Port()]
	}
	if l == nil || len(l.waiting) >= backlog {
		if err := h.travel(ctx, back, there); err != nil {
			return nil, err
		}
		n.trace.notef("dial %s>%s:%d refused", h.name, to, at.Port())
		return nil, h.fail("dial", syscall.ECONNREFUSED)
	}
	near, far := n.connect(h, l)
	l.waiting = append(l.waiting, far)
	n.changed.Broadcast()
	if err := h.travel(ctx, back, there); err != nil {
		near.close()
		return nil, err
	}
	n.trace.notef("dial %s>%s:%d is %d", h.name, to, at.Port(), near.id)
	return near, nil
}

// travel waits for the time that a packet takes along a route, and as long as it, or the answer, is held up. The pause of
// the other party does not count: its kernel goes on. Caller holds mu.
func (h *Host) travel(ctx context.Context, along, answer route) error {
	n := h.net
	due := time.Now().Add(n.latency(along))
	timer := time.AfterFunc(time.Until(due), n.broadcast)
	defer timer.Stop()
	stop := context.AfterFunc(ctx, n.broadcast)
	defer stop()
	for {
		switch {
		case h.down:
			return errDown
		case ctx.Err() != nil:
			return h.fail("dial", ctx.Err())
		case !time.Now().Before(due) && !n.cuts[along] && !n.cuts[answer] && !n.paused[h.name]:
			return nil
		}
		n.changed.Wait()
	}
}

func (n *Network) broadcast() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.changed.Broadcast()
}

// latency draws how long the next message takes along a route. Caller holds mu.
func (n *Network) latency(r route) time.Duration {
	base, ok := n.base[r]
	if !ok {
		base = leastLatency + time.Duration(n.rand.Int64N(int64(mostLatency-leastLatency)))
		n.base[r] = base
	}
	return base + time.Duration(n.rand.Int64N(int64(base/4)))
}

// held tells whether what is under way along a route stays there for now. Caller holds mu.
func (n *Network) held(r route) bool { return n.cuts[r] || n.paused[r.from] || n.paused[r.to] }

// Cut holds up what goes from one party to another, until Heal. For a partition, cut both ways.
func (n *Network) Cut(from, to string) {
	n.change("cut "+from+">"+to, func() { n.cuts[route{from, to}] = true })
}

// Heal undoes Cut.
func (n *Network) Heal(from, to string) {
	n.change("heal "+from+">"+to, func() { delete(n.cuts, route{from, to}) })
}

// HealAll undoes all cuts.
func (n *Network) HealAll() { n.change("heal all", func() { clear(n.cuts) }) }

// Pause holds up what a party says and hears, until Resume.
func (n *Network) Pause(name string) { n.change("pause "+name, func() { n.paused[name] = true }) }

// Resume undoes Pause.
func (n *Network) Resume(name string) { n.change("resume "+name, func() { delete(n.paused, name) }) }

func (n *Network) change(what string, f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trace.notef("net %s", what)
	f()
	n.wake()
}

// wake lets all who wait look again. Caller holds mu.
func (n *Network) wake() {
	n.changed.Broadcast()
	for _, c := range n.all() {
		if len(c.out.buf) > 0 && c.peer.refuses() {
			c.resetAfter(n.latency(c.out.route) + n.latency(c.in.route))
		}
		c.wake()
	}
}

func (n *Network) all() []*conn {
	return slices.SortedFunc(maps.Values(n.conns), func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
}

// Reset breaks all connections between two parties; they may connect again at once.
func (n *Network) Reset(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.trace.notef("net reset %s %s", a, b)
	for _, c := range n.all() {
		if c.host.name == a && c.peer.host.name == b || c.host.name == b && c.peer.host.name == a {
			c.die(syscall.ECONNRESET)
		}
	}
}

// Crash ends a party: its listeners are gone, its connections too, and nothing that it still does has any effect. The
// other sides are told, since the kernel survives the process; if silent, it does not, and they find out when they send
// something to the party's next start.
func (h *Host) Crash(silent bool) {
	n := h.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if h.down {
		return
	}
	n.trace.notef("net crash %s", h.name)
	h.down = true
	clear(h.listeners)
	for _, c := range n.all() {
		if c.host != h {
			continue
		}
		c.die(errDown)
		c.gone = true
		if !silent {
			c.peer.resetAfter(n.latency(c.out.route))
		}
	}
	n.wake()
}

// listener is an open port.
type listener struct {
	host    *Host
	at      netip.AddrPort
	waiting []*conn
	closed  bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case l.closed || l.host.down:
			return nil, l.host.fail("accept", net.ErrClosed)
		case len(l.waiting) > 0 && !n.paused[l.host.name]:
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			return c, nil
		}
		n.changed.Wait()
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	n := l.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return l.host.fail("close", net.ErrClosed)
	}
	l.closed = true
	if l.host.listeners[l.at.Port()] == l {
		delete(l.host.listeners, l.at.Port())
	}
	for _, c := range l.waiting {
		c.die(net.ErrClosed)
		c.peer.resetAfter(n.latency(c.out.route))
	}
	l.waiting = nil
	n.changed.Broadcast()
	return nil
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (h *Host) String() string { return h.name + "/" + strconv.FormatBool(!h.down) }
