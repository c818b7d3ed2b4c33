package harness

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Link is a way to an address that can be cut: a TCP proxy. What is sent over a link that is cut goes nowhere, and nobody
// is told.
type Link struct {
	Addr string // connect here
	to   string

	mu      sync.Mutex
	cut     bool
	closed  bool
	conns   map[net.Conn]struct{}
	working sync.WaitGroup
}

// NewLink makes a way to an address, until the test ends.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{Addr: ln.Addr().String(), to: to, conns: make(map[net.Conn]struct{})}
	l.working.Go(func() { l.accept(ln) })
	t.Cleanup(func() {
		ln.Close()
		l.mu.Lock()
		l.closed = true
		for c := range l.conns {
			c.Close()
		}
		l.mu.Unlock()
		l.working.Wait()
	})
	return l
}

// Cut loses everything from now on, also of connections that exist.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
}

func (l *Link) isCut() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *Link) accept(ln net.Listener) {
	for {
		from, err := ln.Accept()
		if err != nil {
			return
		}
		if !l.keep(from) {
			continue
		}
		l.working.Go(func() { l.serve(from) })
	}
}

// keep has a connection closed at the end; false: this is the end.
func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.Close()
	delete(l.conns, c)
}

func (l *Link) serve(from net.Conn) {
	defer l.drop(from)
	to, err := net.Dial("tcp", l.to)
	if err != nil || !l.keep(to) {
		return
	}
	defer l.drop(to)
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			if _, err := io.Copy(cutWriter{l, way[1]}, way[0]); !l.isCut() || err != nil {
				way[1].Close()
				way[0].Close()
			}
		})
	}
	both.Wait()
}

// cutWriter takes what is written over a link that is cut, and does nothing with it.
type cutWriter struct {
	link *Link
	to   net.Conn
}

func (w cutWriter) Write(b []byte) (int, error) {
	if w.link.isCut() {
		return len(b), nil
	}
	return w.to.Write(b)
}
