// Package tcpproxy carries TCP connections to a server in a way that its user decides: lossy, slow, or not at all.
package tcpproxy

import (
	"context"
	"net"
	"sync"
)

// Carry moves the bytes of one connection in both directions, and returns when it is over. Both ends are closed after it,
// and when the proxy closes.
type Carry func(client, server net.Conn)

// Proxy listens on the loopback.
type Proxy struct {
	ln    net.Listener
	to    func() string
	carry Carry

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	working sync.WaitGroup
}

// Open listens and carries what comes to the server at an address, which is asked for with every connection.
func Open(ctx context.Context, to func() string, carry Carry) (*Proxy, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{ln: ln, to: to, carry: carry, conns: make(map[net.Conn]struct{})}
	p.working.Go(p.accept)
	return p, nil
}

// Addr is where to connect.
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Close ends all connections and returns when nothing of the proxy is left.
func (p *Proxy) Close() error {
	err := p.ln.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.working.Wait()
	return err
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.serve(client) })
	}
}

func (p *Proxy) serve(client net.Conn) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	server, err := net.Dial("tcp", p.to())
	if err != nil || !p.keep(server) {
		return
	}
	defer p.drop(server)
	p.carry(client, server)
}

// keep has a connection closed at the end. False: this is the end.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		c.Close()
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Both runs the two directions of a connection. When either returns, both ends are closed, which ends the other.
func Both(client, server net.Conn, ask, answer func()) {
	var ways sync.WaitGroup
	for _, way := range []func(){ask, answer} {
		ways.Go(func() {
			defer client.Close()
			defer server.Close()
			way()
		})
	}
	ways.Wait()
}
