package faulty

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/runnel-io/runnel/integration/tcpproxy"
)

// Postgres is a way to a PostgreSQL server that loses connections.
type Postgres struct {
	Addr   string
	Before atomic.Int64 // connections lost before the server heard what was sent
	After  atomic.Int64 // connections lost after the server did what was sent, before its answer arrived

	draws *draws
	one   atomic.Int64 // of so many messages is lost each way; 0 for none
}

// NewPostgres makes a way to the server at an address, which lives until the test ends and loses nothing yet.
func NewPostgres(t testing.TB, to string, seed uint64) *Postgres {
	t.Helper()
	p := &Postgres{draws: newDraws(seed)}
	proxy, err := tcpproxy.Open(t.Context(), func() string { return to }, func(client, server net.Conn) {
		var deaf atomic.Bool // the next answer does not arrive
		tcpproxy.Both(client, server, func() { p.ask(client, server, &deaf) }, func() { p.answer(client, server, &deaf) })
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	p.Addr = proxy.Addr()
	return p
}

// Lose one of so many messages before, and one of so many after it took effect; 0 for none.
func (p *Postgres) Lose(one int) { p.one.Store(int64(one)) }

const messageBytes = 1 << 20 // more than a message of these tests has

func (p *Postgres) ask(client, server net.Conn, deaf *atomic.Bool) {
	buf := make([]byte, messageBytes)
	for {
		n, err := client.Read(buf)
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
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *Postgres) answer(client, server net.Conn, deaf *atomic.Bool) {
	buf := make([]byte, messageBytes)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if deaf.Load() {
			p.After.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
