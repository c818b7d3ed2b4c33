package wire

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// hourly makes sessions that last an hour, by a clock that is a day ahead.
func hourly() Routes {
	return saslRoutes(Routes{36: {Name: "SaslAuthenticate", Max: 2, Unauthenticated: true,
		Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
			name := string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
			c.Authenticate(Session{Principal: "User:" + name, Expires: aDayAhead().Add(time.Hour)})
			return req.ResponseKind()
		})}})
}

func aDayAhead() time.Time { return time.Now().Add(24 * time.Hour) }

func TestRequestAfterTheEndOfASessionClosesTheConnection(t *testing.T) {
	bothWays(t, func(t *testing.T, way func(Routes) Routes) {
		var h *held
		virtually(t, saslEndpoint(), func() Routes {
			h = newHeld()
			routes := hourly()
			routes[0] = h.produceRoute()
			return way(routes)
		}, Options{Now: aDayAhead, IdleTimeout: -1}, func(t *testing.T, f *fixture, dial func() *client) {
			c := dial()
			c.send(1, login("alice"))
			c.receive()
			time.Sleep(time.Hour) // to the last moment
			c.send(2, heartbeatRequest())
			c.receive()
			c.send(3, produceRequest(10))
			before := within(t, h.begun)
			time.Sleep(time.Millisecond)
			go func() {
				_, _ = c.Write(frameOf(4, produceRequest(10)))
				_, _ = c.Write(frameOf(5, produceRequest(10)))
			}()
			time.Sleep(time.Millisecond)
			close(before.free) // what began before is answered
			if id, _ := c.receive(); id != 3 {
				t.Errorf("answer to %d", id)
			}
			c.expectClosed()
			if len(h.begun) != 0 {
				t.Error("a request began after the session")
			}
			if logs := f.logs.String(); f.closedFor("session_expired") != 1 || strings.Count(logs, "\n") != 1 || !strings.Contains(logs, "User:alice") {
				t.Errorf("logs %s", logs)
			}
		})
	})
}

func TestPeerMayAuthenticateAnewAfterTheEndOfItsSession(t *testing.T) {
	virtually(t, saslEndpoint(), hourly, Options{Now: aDayAhead, IdleTimeout: -1}, func(t *testing.T, _ *fixture, dial func() *client) {
		c := dial()
		c.send(1, login("alice"))
		c.receive()
		time.Sleep(3 * time.Hour)
		for i, req := range []kmsg.Request{apiVersions(), handshake(1), login("alice"), heartbeatRequest()} {
			c.send(int32(i), req)
			if id, _ := c.receive(); id != int32(i) {
				t.Fatalf("answer to %d", id)
			}
		}
	})
}

// A request that is still under way when its peer becomes somebody else goes on as who it was.
func TestRequestsAreHandledByWhoThePeerWasWhenTheyBegan(t *testing.T) {
	began := make(chan string, 10)
	produce := Route{Name: "Produce", Min: 3, Max: 13, Order: Overlapping, Handler: func(_ context.Context, c *Conn, req kmsg.Request) Pending {
		session := c.Session()
		return func(context.Context) kmsg.Response {
			began <- session.Principal
			return req.ResponseKind()
		}
	}}
	c := serveAt(t, saslEndpoint(), saslRoutes(Routes{0: produce}), Options{}).dial()
	c.send(1, login("alice"))
	c.receive()
	all := append(frameOf(2, produceRequest(10)), frameOf(3, login("bob"))...)
	_, err := c.Write(append(all, frameOf(4, produceRequest(10))...))
	must(t, err)
	for want := int32(2); want <= 4; want++ {
		if id, _ := c.receive(); id != want {
			t.Fatalf("answer to %d", id)
		}
	}
	if first, second := within(t, began), within(t, began); first != "User:alice" || second != "User:bob" {
		t.Errorf("%s, then %s", first, second)
	}
}
