package runneltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/runnel-io/runnel/broker/node"
)

// port is an address of a broker, which it keeps while it is down: another process, or a client of another test, would else be given
// the port meanwhile. Connections go to the network of the life that listens, and are reset while none does.
type port struct {
	bound   net.Listener
	closing chan struct{}
	done    chan struct{} // closed when nothing is accepted any more

	mu      sync.Mutex
	current *entrance // nil: nobody listens
}

func openPort(ctx context.Context) (*port, error) {
	bound, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("bind an address: %w", err)
	}
	p := &port{bound: bound, closing: make(chan struct{}), done: make(chan struct{})}
	go p.accept()
	return p, nil
}

func (p *port) addr() string { return p.bound.Addr().String() }

// close gives the address back, also while the broker takes no connections: one that waits to be taken is reset.
func (p *port) close() {
	close(p.closing)
	_ = p.bound.Close()
	<-p.done
}

// accept hands connections on until the port is closed.
func (p *port) accept() {
	defer close(p.done)
	for {
		conn, err := p.bound.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as too many open files
			time.Sleep(time.Millisecond)
			continue
		}
		p.mu.Lock()
		to := p.current
		p.mu.Unlock()
		tcp := conn.(*net.TCPConn)
		if to == nil || !to.take(tcp) {
			reset(tcp)
		}
	}
}

// reset ends a connection as the end of a process does that had not read all.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

// entrance is a port in the hands of one life of a broker: its listener.
type entrance struct {
	port     *port
	network  *network
	arriving chan net.Conn
	closed   chan struct{}
	closing  sync.Once
}

// take hands a connection to who accepts, and tells whether somebody has it now.
func (e *entrance) take(tcp *net.TCPConn) bool {
	conn := e.network.follow(tcp, e.port.addr())
	if conn == nil {
		return false
	}
	select {
	case e.arriving <- conn:
		return true
	case <-e.closed:
	case <-e.port.closing:
	}
	e.network.forget(conn)
	return false
}

// Accept implements net.Listener.
func (e *entrance) Accept() (net.Conn, error) {
	select {
	case conn := <-e.arriving:
		return conn, nil
	case <-e.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The port stays bound.
func (e *entrance) Close() error {
	e.closing.Do(func() {
		close(e.closed)
		e.port.mu.Lock()
		defer e.port.mu.Unlock()
		if e.port.current == e {
			e.port.current = nil
		}
	})
	return nil
}

// Addr implements net.Listener.
func (e *entrance) Addr() net.Addr { return e.port.bound.Addr() }

// network is that of one life of a broker: what it listens on, and all its connections, so that they can be cut.
type network struct {
	ports  []*port
	dialer net.Dialer

	mu    sync.Mutex
	dead  bool
	conns map[*conn]string // and where they came to; "": the broker made them
	open  []*entrance
}

var _ node.Network = (*network)(nil)

func newNetwork(ports ...*port) *network {
	return &network{
		ports:  slices.DeleteFunc(ports, func(p *port) bool { return p == nil }),
		dialer: net.Dialer{KeepAlive: 10 * time.Second}, conns: make(map[*conn]string),
	}
}

// Listen implements node.Network: on the broker's ports, or elsewhere, as on an admin address, which then is like any other.
func (n *network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	i := slices.IndexFunc(n.ports, func(p *port) bool { return p.addr() == address })
	if i < 0 {
		return new(net.ListenConfig).Listen(ctx, network, address)
	}
	e := &entrance{port: n.ports[i], network: n, arriving: make(chan net.Conn), closed: make(chan struct{})}
	n.mu.Lock()
	n.open = append(n.open, e)
	n.mu.Unlock()
	e.port.mu.Lock()
	defer e.port.mu.Unlock()
	e.port.current = e
	return e, nil
}

// DialContext implements node.Network.
func (n *network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	made, err := n.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := made.(*net.TCPConn)
	if !ok {
		return made, nil
	}
	if c := n.follow(tcp, ""); c != nil {
		return c, nil
	}
	reset(tcp)
	return nil, errKilled
}

// conn is a connection that its network knows while it is open.
type conn struct {
	*net.TCPConn
	of *network
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.forget(c)
	return c.TCPConn.Close()
}

// follow keeps a connection to be cut; nil if the network is dead.
func (n *network) follow(tcp *net.TCPConn, to string) *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return nil
	}
	c := &conn{tcp, n}
	n.conns[c] = to
	return c
}

func (n *network) forget(c *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// reset resets the connections that came to an address.
func (n *network) reset(at string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c, to := range n.conns {
		if to == at {
			reset(c.TCPConn)
		}
	}
}

// cut resets all connections, and lets none come any more.
func (n *network) cut() {
	n.mu.Lock()
	n.dead = true
	for c := range n.conns {
		reset(c.TCPConn)
	}
	open := n.open
	n.mu.Unlock()
	for _, e := range open {
		_ = e.Close()
	}
}
