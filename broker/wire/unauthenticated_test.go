package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func saslEndpoint() *Endpoint {
	return &Endpoint{Name: "CLIENTS", Protocol: "SASL_PLAINTEXT", SASL: true}
}

// saslRoutes are the keys of strangers and some others. A token is the name of a user; "-" is a wrong password.
func saslRoutes(more Routes) Routes {
	routes := Routes{
		12: answerAtOnce()[12],
		17: {Name: "SaslHandshake", Max: 1, Unauthenticated: true, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
			if req.GetVersion() == 0 {
				c.RawSASL(func(token []byte) ([]byte, error) {
					switch string(token) {
					case "-":
						return nil, errors.New("wrong password")
					case "more":
						return []byte("and?"), nil
					}
					c.Authenticate(Session{Principal: "User:" + string(token), Mechanism: "PLAIN"})
					return []byte{}, nil
				})
			}
			return req.ResponseKind()
		})},
		18: {Name: "ApiVersions", Max: 4, Unauthenticated: true, Handler: answerAtOnce()[12].Handler},
		36: {Name: "SaslAuthenticate", Max: 2, Unauthenticated: true, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
			token := string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
			resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
			switch token {
			case "-":
				c.Fail(80*time.Millisecond, errors.New("wrong password"))
				resp.ErrorCode = 58
			case "more":
			default:
				c.Authenticate(Session{Principal: "User:" + token, Mechanism: "PLAIN"})
			}
			return resp
		})},
	}
	for key, route := range more {
		routes[key] = route
	}
	return routes
}

func login(token string) *kmsg.SASLAuthenticateRequest {
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.Version = 2
	req.SASLAuthBytes = []byte(token)
	return req
}

func handshake(version int16) *kmsg.SASLHandshakeRequest {
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Version = version
	req.Mechanism = "PLAIN"
	return req
}

func apiVersions() *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 3
	return req
}

// closedFor counts the connections that were closed for a reason.
func (f *fixture) closedFor(reason string) (n float64) {
	f.t.Helper()
	families, err := f.registry.Gather()
	must(f.t, err)
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == "runnel_wire_errors_total" && m.Label[0].GetValue() == reason {
				n = m.Counter.GetValue()
			}
		}
	}
	return n
}

// await waits for what other goroutines bring about.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(deadline); !done(); <-look.C {
		if time.Now().After(end) {
			t.Fatal("in vain: " + what)
		}
	}
}

func TestPeerIsServedOnceItHasAuthenticated(t *testing.T) {
	principal := make(chan string, 10)
	f := serveAt(t, saslEndpoint(), saslRoutes(Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		principal <- c.Session().Principal
		return req.ResponseKind()
	})}}), Options{})
	c := f.dial()
	for i, req := range []kmsg.Request{apiVersions(), handshake(1), login("more"), login("alice"), heartbeatRequest(), apiVersions()} {
		c.send(int32(i), req)
		if id, _ := c.receive(); id != int32(i) {
			t.Fatalf("answer to %d", id)
		}
	}
	if got := within(t, principal); got != "User:alice" {
		t.Errorf("served as %s", got)
	}
}

// A client that pipelines its first requests behind the login is served when the login succeeds, and not before.
func TestRequestsBehindALoginWaitForIt(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{})
	c := f.dial()
	all := append(frameOf(1, handshake(1)), frameOf(2, login("alice"))...)
	all = append(append(all, frameOf(3, heartbeatRequest())...), frameOf(4, heartbeatRequest())...)
	_, err := c.Write(all)
	must(t, err)
	for want := int32(1); want <= 4; want++ {
		if id, _ := c.receive(); id != want {
			t.Fatalf("answer to %d", id)
		}
	}

	c = f.dial()
	_, err = c.Write(append(frameOf(1, login("-")), frameOf(2, heartbeatRequest())...))
	must(t, err)
	if id, _ := c.receive(); id != 1 {
		t.Fatalf("answer to %d", id)
	}
	c.expectClosed()
}

func TestHostileFramesOfStrangersCloseTheConnection(t *testing.T) {
	size := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	cases := map[string]struct {
		bytes  []byte
		reason string
	}{
		"another key":                 {frameOf(1, heartbeatRequest()), "unauthenticated"},
		"produce":                     {frameOf(1, produceRequest(100)), "unauthenticated"},
		"produce, only the header":    {frameOf(1, produceRequest(100))[:12], "unauthenticated"},
		"unknown key":                 {size(8, 3, 231, 0, 0, 0, 0, 0, 1), "unknown_api"},
		"login of an unknown version": {size(8, 0, 36, 0, 9, 0, 0, 0, 1), "unsupported_version"},
		"size above the limit":        {size(524289, 0, 36, 0, 2, 0, 0, 0, 1), "frame_size"},
		"negative size":               {size(0xfffffffe), "frame_size"},
		"size below a header":         {size(7), "frame_size"},
		"hello of TLS":                {[]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, "tls_without_tls"},
		"token without a header":      {append(size(11), "\x00alice\x00pass"...), "unknown_api"},
		"token longer than its frame": {size(13, 0, 36, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 9), "malformed_request"},
		"key behind an ApiVersions":   {append(frameOf(1, apiVersions()), frameOf(2, heartbeatRequest())...), "unauthenticated"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := serveAt(t, saslEndpoint(), saslRoutes(Routes{0: newHeld().produceRoute()}), Options{})
			c := f.dial()
			_, err := c.Write(tc.bytes)
			must(t, err)
			_, _ = io.Copy(io.Discard, c)
			await(t, "one line with "+tc.reason, func() bool { return strings.Contains(f.logs.String(), tc.reason) })
			if strings.Count(f.logs.String(), "\n") != 1 || f.closedFor(tc.reason) != 1 {
				t.Errorf("want one line and one count of %s, got %q", tc.reason, f.logs.String())
			}
		})
	}
}

// What strangers claim costs nothing, and what they send nothing of the budgets of others.
func TestFramesOfStrangersTakeLittle(t *testing.T) {
	produce, control := NewBudget(1), NewBudget(1)
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{Budget: produce, ControlBudget: control})
	for _, b := range []*Budget{produce, control} { // whoever needs them waits
		_, err := b.acquire(t.Context(), 1)
		must(t, err)
		defer b.release(1)
	}
	c := f.dial()
	c.send(1, login(strings.Repeat("a", 400<<10)))
	if id, _ := c.receive(); id != 1 {
		t.Fatalf("answer to %d", id)
	}

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var claims []*client
	for range 60 {
		claim := f.dial()
		_, err := claim.Write([]byte{0, 8, 0, 0, 0, 36, 0, 2, 0, 0, 0, 1, 0, 0}) // 512 KiB
		must(t, err)
		claims = append(claims, claim)
	}
	await(t, "all frames begin", func() bool {
		f.srv.strangers.mu.Lock()
		defer f.srv.strangers.mu.Unlock()
		return len(f.srv.strangers.reading) == len(claims)
	})
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("60 claims of 512 KiB made the server allocate %d bytes", grown)
	}
}

func TestStrangersHaveTheirTime(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{AuthenticationTimeout: 150 * time.Millisecond})
	known := f.dial()
	known.send(1, login("alice"))
	known.receive()

	silent, trickling, busy := f.dial(), f.dial(), f.dial()
	go func() { // a byte at a time
		frame := frameOf(1, login(strings.Repeat("a", 500<<10)))
		for i := range frame {
			if _, err := trickling.Write(frame[i : i+1]); err != nil {
				return
			}
		}
	}()
	gone := make(chan struct{})
	go func() { // asks what it may, and does not log in
		defer close(gone)
		for {
			if _, err := busy.Write(frameOf(1, apiVersions())); err != nil {
				return
			}
			if _, err := io.ReadFull(busy, make([]byte, 8)); err != nil {
				return
			}
		}
	}()
	silent.expectClosed()
	trickling.expectClosed()
	within(t, gone)
	await(t, "three are counted", func() bool { return f.closedFor("authentication_timeout") == 3 })
	known.send(2, heartbeatRequest())
	if id, _ := known.receive(); id != 2 {
		t.Errorf("answer to %d", id)
	}
}

func TestTheOldestStrangerMakesRoom(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{MaxConnections: func() int { return 8 }}) // two strangers
	var known []*client
	for range 5 {
		c := f.dial()
		c.send(1, login("alice"))
		c.receive()
		known = append(known, c)
	}
	first, second, third := f.dial(), f.dial(), f.dial()
	first.expectClosed()
	if n := f.closedFor("too_many_unauthenticated"); n != 1 {
		t.Errorf("%v were closed", n)
	}
	for _, c := range []*client{second, third} { // these are there
		c.send(1, apiVersions())
		c.receive()
	}
	second.send(2, login("bob"))
	second.receive()
	known = append(known, second)

	// Eight in all: a ninth takes the place of a stranger, and none that of those who are known.
	fourth, fifth := f.dial(), f.dial()
	third.expectClosed()
	for _, c := range []*client{fourth, fifth} {
		c.send(1, login("carol"))
		c.receive()
		known = append(known, c)
	}
	f.dial().expectClosed()
	for _, c := range known {
		c.send(3, heartbeatRequest())
		if id, _ := c.receive(); id != 3 {
			t.Errorf("answer to %d", id)
		}
	}
	if n := f.closedFor("too_many_connections"); n != 1 {
		t.Errorf("%v were refused", n)
	}
}

// Ten thousand connections that never say who they are: as many as may stay do, and everything comes back.
func TestFloodOfStrangersLeavesNothingBehind(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{})
	known := f.dial()
	known.send(1, login("alice"))
	known.receive()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	r := rand.New(rand.NewPCG(1, 2))
	half := frameOf(1, login(strings.Repeat("a", 12<<10)))
	var flood []net.Conn
	defer func() {
		for _, c := range flood {
			_ = c.Close()
		}
	}()
	for range 10_000 {
		c, err := net.Dial("tcp", f.addr)
		must(t, err)
		flood = append(flood, c)
		_, _ = c.Write(half[:r.IntN(8000)])
	}
	await(t, "all were accepted", func() bool { return f.closedFor("too_many_unauthenticated") >= 7500 })
	await(t, "a goroutine for each of 2,500 strangers", func() bool { return runtime.NumGoroutine()-goroutines <= 2510 })
	grown := int64(heap()) - int64(before)
	t.Logf("2,500 strangers take %d KiB each", grown/2500>>10)
	if grown > 2500*(50<<10) {
		t.Errorf("2,500 strangers take %d MiB", grown>>20)
	}
	known.send(2, heartbeatRequest())
	known.receive()
	latecomer := f.dial()
	latecomer.send(1, login("bob"))
	latecomer.receive()

	for _, c := range flood {
		_ = c.Close()
	}
	flood = nil
	await(t, "goroutines return", func() bool { return runtime.NumGoroutine() <= goroutines+3 })
	await(t, "memory returns", func() bool { return heap() < before+(8<<20) })
}

func TestFailedLoginIsAnsweredLateAndClosed(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{})
	c := f.dial()
	start := time.Now()
	c.send(1, login("-"))
	id, body := c.receive()
	if took := time.Since(start); id != 1 || took < 80*time.Millisecond {
		t.Errorf("answer to %d after %v", id, took)
	}
	if !bytes.Contains(body, []byte{0, 58}) {
		t.Errorf("body %x", body)
	}
	c.expectClosed()
	if f.closedFor("authentication_failed") != 1 || !strings.Contains(f.logs.String(), "wrong password") {
		t.Errorf("logs %s", f.logs.String())
	}
}

// A peer that is known fails to log in again: what it sent behind that is not done as who it was.
func TestNothingBeginsBehindAFailedLogin(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(Routes{
		12: {Name: "Heartbeat", Max: 4, Handler: func(context.Context, *Conn, kmsg.Request) Pending {
			t.Error("a request began")
			return Ready(nil)
		}},
		17: {Name: "SaslHandshake", Max: 1, Unauthenticated: true, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
			await(t, "the requests behind are read", func() bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.inFlight == 3
			})
			return req.ResponseKind()
		})},
	}), Options{})
	c := f.dial()
	c.send(1, login("alice"))
	c.receive()
	all := append(frameOf(2, handshake(1)), frameOf(3, login("-"))...)
	_, err := c.Write(append(all, frameOf(4, heartbeatRequest())...))
	must(t, err)
	for want := int32(2); want <= 3; want++ {
		if id, _ := c.receive(); id != want {
			t.Fatalf("answer to %d", id)
		}
	}
	c.expectClosed()
}

func TestShutdownDoesNotWaitForTheDelayOfFailedLogins(t *testing.T) {
	begun := make(chan struct{})
	f := serveAt(t, saslEndpoint(), saslRoutes(Routes{36: {Name: "SaslAuthenticate", Max: 2, Unauthenticated: true,
		Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
			c.Fail(time.Hour, errors.New("wrong password"))
			close(begun)
			return req.ResponseKind()
		})}}), Options{AuthenticationTimeout: time.Hour})
	c := f.dial()
	c.send(1, login("-"))
	within(t, begun)
	down := make(chan error, 1)
	go func() { down <- f.srv.Shutdown(context.Background()) }()
	c.receive()
	c.expectClosed()
	must(t, within(t, down))
}

func TestRawTokensFollowTheOldHandshake(t *testing.T) {
	f := serveAt(t, saslEndpoint(), saslRoutes(nil), Options{})
	token := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	reply := func(c *client) string {
		var size [4]byte
		_, err := io.ReadFull(c, size[:])
		must(t, err)
		b := make([]byte, binary.BigEndian.Uint32(size[:]))
		_, err = io.ReadFull(c, b)
		must(t, err)
		return string(b)
	}
	c := f.dial()
	c.send(1, handshake(0))
	c.receive()
	_, err := c.Write(token("more"))
	must(t, err)
	if got := reply(c); got != "and?" {
		t.Fatalf("reply %q", got)
	}
	_, err = c.Write(append(token("alice"), frameOf(5, heartbeatRequest())...)) // requests have headers from there on
	must(t, err)
	if got := reply(c); got != "" {
		t.Fatalf("reply %q", got)
	}
	if id, _ := c.receive(); id != 5 {
		t.Fatalf("answer to %d", id)
	}

	for _, hostile := range [][]byte{token("-"), {0, 8, 0, 1}, {0xff, 0xff, 0xff, 0xff}} {
		c := f.dial()
		c.send(1, handshake(0))
		c.receive()
		_, err := c.Write(hostile)
		must(t, err)
		c.expectClosed()
	}
	if f.closedFor("authentication_failed") != 1 || f.closedFor("frame_size") != 2 {
		t.Errorf("logs %s", f.logs.String())
	}
}
