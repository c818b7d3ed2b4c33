package faulty

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Postgres is a way to a PostgreSQL server that loses connections.
type Postgres struct {
	Addr   string
	Before atomic.Int64 // connections lost before the server heard what was sent
	After  atomic.Int64 // connections lost after the server did what was sent, before its answer arrived

	to      string
	draws   *draws
	one     atomic.Int64 // of so many messages is lost each way; 0 for none
	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	working sync.WaitGroup
}

// NewPostgres makes a way to the server at an address, which lives until the test ends and loses nothing yet.
func NewPostgres(t testing.TB, to string, seed uint64) *Postgres {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Postgres{Addr: ln.Addr().String(), to: to, draws: newDraws(seed), conns: make(map[net.Conn]struct{})}
	p.working.Go(func() { p.accept(ln) })
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		p.closed = true
		for c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.working.Wait()
	})
	return p
}

// Lose one of so many messages before, and one of so many after it took effect; 0 for none.
func (p *Postgres) Lose(one int) { p.one.Store(int64(one)) }

func (p *Postgres) accept(ln net.Listener) {
	for {
		from, err := ln.Accept()
		if err != nil {
			return
		}
		p.working.Go(func() { p.serve(from) })
	}
}

// keep has a connection closed at the end; false: this is the end.
func (p *Postgres) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *Postgres) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Postgres) serve(from net.Conn) {
	defer p.drop(from)
	to, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer p.drop(to)
	if !p.keep(from) || !p.keep(to) {
		return
	}
	var deaf atomic.Bool // the next answer does not arrive
	var both sync.WaitGroup
	both.Go(func() { p.asks(from, to, &deaf) })
	both.Go(func() { p.answers(from, to, &deaf) })
	both.Wait()
}

func (p *Postgres) asks(from, to net.Conn, deaf *atomic.Bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if one := int(p.one.Load()); one > 0 {
			switch p.draws.of(one) {
			case 0:
				p.Before.Add(1)
				return
			case 1:
				deaf.Store(true)
			}
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *Postgres) answers(from, to net.Conn, deaf *atomic.Bool) {
	defer from.Close()
	defer to.Close()
	buf := make([]byte, 1<<20)
	for {
		n, err := to.Read(buf)
		if err != nil {
			return
		}
		if deaf.Load() {
			p.After.Add(1)
			return
		}
		if _, err := from.Write(buf[:n]); err != nil {
			return
		}
	}
}
