package wire

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rules admit as they say and count who is there.
type rules struct {
	wait time.Duration
	no   bool

	mu    sync.Mutex
	asked []string
	there int
}

func (r *rules) Admit(endpoint, host string) (func(), time.Duration, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, endpoint+" "+host)
	if r.no {
		return nil, 0, false
	}
	r.there++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.there--
	}, r.wait, true
}

func (r *rules) set(wait time.Duration, no bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wait, r.no = wait, no
}

func (r *rules) present() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.there
}

func TestConnectionsAreAskedForAndReleased(t *testing.T) {
	r := &rules{}
	f := serve(t, answerAtOnce(), Options{Connections: r, MaxConnections: func() int { return 2 }})
	one, two := f.dial(), f.dial()
	for _, c := range []*client{one, two} {
		c.send(1, heartbeatRequest())
		c.receive()
	}
	f.dial().expectClosed() // admitted, and no place
	await(t, "its release", func() bool { return r.present() == 2 })
	must(t, one.Close())
	await(t, "release", func() bool { return r.present() == 1 })
	r.set(0, true)
	f.dial().expectClosed()
	if f.closedFor("not_admitted") != 1 || !strings.Contains(f.logs.String(), "not_admitted") {
		t.Errorf("logs %s", f.logs.String())
	}
	if r.asked[0] != "PLAINTEXT 127.0.0.1" || r.present() != 1 {
		t.Errorf("asked %v, %d are there", r.asked, r.present())
	}
}

func TestDelayedConnectionBeginsLaterAndHoldsNobodyUp(t *testing.T) {
	for name, tc := range map[string]struct{ wait, want time.Duration }{
		"ten seconds": {10 * time.Second, 10 * time.Second}, "longer than the most": {time.Hour, mostDelay},
	} {
		t.Run(name, func(t *testing.T) {
			r := &rules{wait: tc.wait}
			virtually(t, plaintext, answerAtOnce, Options{Connections: r, MaxDelayed: 2}, func(t *testing.T, f *fixture, dial func() *client) {
				start := time.Now()
				delayed, leaves := dial(), dial()
				synctest.Wait()
				dial().expectClosed() // a third may not wait
				r.set(0, false)
				c := dial()
				c.send(1, heartbeatRequest())
				c.receive()
				must(t, leaves.Close())
				elapsed(t, start, 0)
				delayed.send(1, heartbeatRequest())
				delayed.receive()
				elapsed(t, start, tc.want)
				synctest.Wait()
				if n := r.present(); n != 2 || f.closedFor("too_many_delayed") != 1 {
					t.Errorf("%d are there; logs %s", n, f.logs.String())
				}
				r.set(tc.wait, false) // the places of those who waited are free
				again := dial()
				again.send(1, heartbeatRequest())
				again.receive()
				elapsed(t, start, 2*tc.want)
			})
		})
	}
}

// The time that strangers have begins after their delay, and Shutdown does not wait for it.
func TestDelayedStrangers(t *testing.T) {
	r := &rules{wait: 20 * time.Second}
	routes := func() Routes { return saslRoutes(nil) }
	virtually(t, saslEndpoint(), routes, Options{Connections: r, AuthenticationTimeout: 5 * time.Second}, func(t *testing.T, f *fixture, dial func() *client) {
		start := time.Now()
		dial().expectClosed()
		elapsed(t, start, 25*time.Second)
		c := dial()
		synctest.Wait()
		must(t, f.srv.Shutdown(context.Background()))
		c.expectClosed()
		elapsed(t, start, 25*time.Second)
		synctest.Wait()
		if n := r.present(); n != 0 {
			t.Errorf("%d are there", n)
		}
	})
}

func TestListenersHaveLimitsOfTheirOwn(t *testing.T) {
	limited := saslEndpoint()
	limited.MaxConnections = func() int { return 3 }
	f := serveAt(t, limited, saslRoutes(nil), Options{})
	var known []*client
	for range 2 {
		c := f.dial()
		c.send(1, login("alice"))
		c.receive()
		known = append(known, c)
	}
	first := f.dial()
	second := f.dial() // takes the place of the first, which has not authenticated
	first.expectClosed()
	second.send(1, login("bob"))
	second.receive()
	f.dial().expectClosed()
	if f.closedFor("too_many_unauthenticated") != 1 || f.closedFor("too_many_connections") != 1 || !strings.Contains(f.logs.String(), "listener=CLIENTS") {
		t.Errorf("logs %s", f.logs.String())
	}
	for _, c := range append(known, second) {
		c.send(2, heartbeatRequest())
		c.receive()
	}
}

// A flood at one listener costs its own strangers their places, not those of others.
func TestStrangersGoWhereMostOfThemAre(t *testing.T) {
	flooded, quiet := &door{endpoint: saslEndpoint()}, &door{endpoint: saslEndpoint()}
	srv, err := NewServer(saslRoutes(nil), Options{MaxUnauthenticated: func() int { return 4 }})
	must(t, err)
	srv.doors[flooded.endpoint], srv.doors[quiet.endpoint] = flooded, quiet
	var victims []*Conn
	enlist := func(d *door) *Conn {
		srv.nextID++
		c := &Conn{id: srv.nextID, srv: srv, door: d, mustProve: true}
		srv.conns[c] = struct{}{}
		d.conns++
		srv.enlist(c, &victims)
		return c
	}
	early := enlist(quiet)
	var flood []*Conn
	for range 20 {
		flood = append(flood, enlist(flooded))
	}
	if early.place == nil || quiet.strangers.Len() != 1 || flooded.strangers.Len() != 3 || len(victims) != 17 {
		t.Errorf("%d and %d strangers, %d victims", quiet.strangers.Len(), flooded.strangers.Len(), len(victims))
	}
	for i, victim := range victims {
		if victim != flood[i] {
			t.Fatalf("victim %d is connection %d", i, victim.id)
		}
	}
	if len(srv.conns) != 4 || flooded.conns != 3 {
		t.Errorf("%d connections, %d of the flooded listener", len(srv.conns), flooded.conns)
	}
}
