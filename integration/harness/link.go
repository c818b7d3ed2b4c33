package harness

import (
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/integration/tcpproxy"
)

// Link is a way to an address that can be cut. What is sent over a link that is cut goes nowhere, and nobody is told.
type Link struct {
	Addr string // connect here
	cut  atomic.Bool
}

// NewLink makes a way to an address, until the test ends.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	l := &Link{}
	proxy, err := tcpproxy.Open(t.Context(), func() string { return to }, func(client, server net.Conn) {
		tcpproxy.Both(client, server,
			func() { _, _ = io.Copy(cutWriter{l, server}, client) },
			func() { _, _ = io.Copy(cutWriter{l, client}, server) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	l.Addr = proxy.Addr()
	return l
}

// Cut loses everything from now on, also of connections that exist.
func (l *Link) Cut() { l.cut.Store(true) }

// cutWriter takes what is written over a link that is cut, and does nothing with it.
type cutWriter struct {
	link *Link
	to   net.Conn
}

func (w cutWriter) Write(b []byte) (int, error) {
	if w.link.cut.Load() {
		return len(b), nil
	}
	return w.to.Write(b)
}
