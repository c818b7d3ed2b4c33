package harness

import (
	"net"
	"sync"
	"testing"

	"github.com/runnel-io/runnel/integration/tcpproxy"
)

// Link is a way to an address on which the network can fail.
type Link struct {
	Addr string // connect here

	mu      sync.Mutex
	state   linkState
	changed chan struct{} // closed and replaced with the state
	conns   map[net.Conn]struct{}
}

type linkState int

const (
	linkWorks linkState = iota
	linkCut
	linkHeld
	linkRefused
)

// NewLink makes a way to an address, until the test ends.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	return NewLinkTo(t, func() string { return to })
}

// NewLinkTo makes a way to an address that may change, until the test ends: it is asked for with every connection.
func NewLinkTo(t testing.TB, to func() string) *Link {
	t.Helper()
	l := &Link{changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
	proxy, err := tcpproxy.Open(t.Context(), to, l.carry)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Mend()
		_ = proxy.Close()
	})
	l.Addr = proxy.Addr()
	return l
}

// Cut loses everything from now on, also of connections that exist, and nobody is told. A connection that lost something
// is lost for good, as behind a firewall that forgot it.
func (l *Link) Cut() { l.set(linkCut) }

// Hold keeps everything back, as a network does that loses packets until TCP sends them again. It arrives after Mend.
func (l *Link) Hold() { l.set(linkHeld) }

// Refuse ends all connections, and every new one.
func (l *Link) Refuse() {
	l.set(linkRefused)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Close()
	}
}

// Mend makes the link work.
func (l *Link) Mend() { l.set(linkWorks) }

func (l *Link) set(s linkState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.state = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// now is the state, and what is closed when it changes.
func (l *Link) now() (linkState, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.changed
}

func (l *Link) carry(client, server net.Conn) {
	if !l.keep(client) {
		return
	}
	defer l.drop(client)
	var lost loss
	tcpproxy.Both(client, server, func() { l.copy(server, client, &lost) }, func() { l.copy(client, server, &lost) })
}

// keep has a connection closed by Refuse. False: connections are refused.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == linkRefused {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// loss tells, for both directions of a connection, whether anything was lost.
type loss struct {
	mu  sync.Mutex
	any bool
}

// after tells whether anything is lost, now or before.
func (l *loss) after(now bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.any = l.any || now
	return l.any
}

func (l *Link) copy(to, from net.Conn, lost *loss) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		state, changed := l.now()
		for state == linkHeld || state == linkCut && err != nil { // the other end hears nothing of an end either
			<-changed
			state, changed = l.now()
		}
		if err != nil {
			return
		}
		if lost.after(state == linkCut) {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
