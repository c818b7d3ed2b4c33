package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// authority issues certificates for these tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{key, cert}
}

func (a *authority) issue(t testing.TB, name string, until time.Time) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"broker"},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// secure is an endpoint whose clients may or must show certificates.
func (a *authority) secure(t testing.TB, auth tls.ClientAuthType) *Endpoint {
	config := &tls.Config{
		Certificates: []tls.Certificate{a.issue(t, "broker", time.Now().Add(time.Hour))}, ClientAuth: auth, ClientCAs: a.pool(),
	}
	return &Endpoint{Name: "SECURE", Protocol: "SSL", TLS: func() *tls.Config { return config },
		Principal: func(state tls.ConnectionState) (string, error) {
			name := state.VerifiedChains[0][0].Subject.CommonName
			if name == "nobody" {
				return "", errors.New("no rule for nobody")
			}
			return "User:" + name, nil
		}}
}

func (a *authority) client(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: a.pool(), ServerName: "broker", Certificates: certs}
}

// dialTLS does not wait for the handshake.
func (f *fixture) dialTLS(config *tls.Config) *client {
	f.t.Helper()
	c := f.dial()
	c.Conn = tls.Client(c.Conn, config)
	return c
}

func whoAmI(principal chan<- string) Routes {
	return Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		principal <- c.Session().Principal
		return req.ResponseKind()
	})}}
}

func TestPrincipalComesFromTheVerifiedCertificate(t *testing.T) {
	ca := newAuthority(t)
	hour := time.Now().Add(time.Hour)
	principal := make(chan string, 1)
	f := serveAt(t, ca.secure(t, tls.VerifyClientCertIfGiven), whoAmI(principal), Options{})
	for want, config := range map[string]*tls.Config{
		"User:alice": ca.client(ca.issue(t, "alice", hour)),
		Anonymous:    ca.client(),
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config.MinVersion, config.MaxVersion = version, version
			c := f.dialTLS(config)
			c.send(1, heartbeatRequest())
			c.receive()
			if got := within(t, principal); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	}
	if logs := f.logs.String(); logs != "" {
		t.Errorf("logs %s", logs)
	}
}

func TestPeersThatCannotShakeHandsAreClosedWithOneLine(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	insecure := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{InsecureSkipVerify: true, Certificates: certs, MinVersion: tls.VersionTLS10}
	}
	old := insecure()
	old.MaxVersion = tls.VersionTLS11
	cases := map[string]struct {
		client *tls.Config // nil: bytes
		bytes  []byte
		text   string
	}{
		"no certificate":                 {client: insecure(), text: "didn't provide a certificate"},
		"certificate of another":         {client: insecure(other.issue(t, "alice", hour)), text: "unknown authority"},
		"expired certificate":            {client: insecure(ca.issue(t, "alice", time.Now().Add(-time.Minute))), text: "expired"},
		"certificate without principal":  {client: insecure(ca.issue(t, "nobody", hour)), text: "no rule for nobody"},
		"TLS 1.1":                        {client: old, text: "unsupported versions"},
		"broker's authority not trusted": {client: &tls.Config{RootCAs: other.pool(), ServerName: "broker"}, text: "bad certificate"},
		"plaintext":                      {bytes: frameOf(1, apiVersions()), text: "does not speak TLS"},
		"HTTP":                           {bytes: []byte("GET / HTTP/1.1\r\nHost: broker\r\n\r\n"), text: "does not speak TLS"},
		"record of noise":                {bytes: append([]byte{22, 3, 3, 0, 100}, make([]byte, 100)...), text: "tls: "},
		"record that is too long":        {bytes: append([]byte{22, 3, 3, 0xff, 0xff}, make([]byte, 100)...), text: "oversized record"},
		"certificate whose name is long": {client: insecure(other.issue(t, strings.Repeat("a", 10_000), hour)), text: "unknown authority"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := serveAt(t, ca.secure(t, tls.RequireAndVerifyClientCert), whoAmI(make(chan string, 1)), Options{})
			if tc.client != nil {
				c := f.dialTLS(tc.client)
				if c.Conn.(*tls.Conn).Handshake() == nil { // in TLS 1.3 it ends before the broker has looked at the certificate
					c.send(1, heartbeatRequest())
				}
				_, _ = io.Copy(io.Discard, c)
			} else {
				c := f.dial()
				_, err := c.Write(tc.bytes)
				must(t, err)
				_, _ = io.Copy(io.Discard, c)
			}
			await(t, "a line with "+tc.text, func() bool { return strings.Contains(f.logs.String(), tc.text) })
			await(t, "the connection ends", func() bool { return f.srv.Connections() == 0 })
			if logs := f.logs.String(); strings.Count(logs, "\n") != 1 || f.closedFor("tls_handshake") != 1 {
				t.Errorf("want one line, got %q", logs)
			}
		})
	}
}

// A peer whose certificate is refused learns why, although it has sent requests already.
func TestPeerIsToldWhyItsCertificateIsRefused(t *testing.T) {
	ca := newAuthority(t)
	f := serveAt(t, ca.secure(t, tls.RequireAndVerifyClientCert), answerAtOnce(), Options{})
	for range 20 {
		c := f.dialTLS(ca.client())
		c.send(1, heartbeatRequest())
		_, err := c.Write(frameOf(2, heartbeatRequest()))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Fatalf("error %v", err)
		}
	}
}

func TestProbesOfTheTLSPortLeaveNoLine(t *testing.T) {
	ca := newAuthority(t)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), answerAtOnce(), Options{})
	for range 5 {
		must(t, f.dial().Close())
	}
	c := f.dial()
	must(t, c.Conn.(*net.TCPConn).CloseWrite())
	c.expectClosed()
	await(t, "the connections end", func() bool { return f.srv.Connections() == 0 })
	if logs := f.logs.String(); logs != "" {
		t.Errorf("logs %s", logs)
	}
}

func TestHandshakesDoNotHoldOthersUp(t *testing.T) {
	ca := newAuthority(t)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), answerAtOnce(), Options{AuthenticationTimeout: 400 * time.Millisecond})
	silent, half := f.dial(), f.dial()
	_, err := half.Write([]byte{22, 3, 1, 2, 0, 1, 0})
	must(t, err)
	c := f.dialTLS(ca.client())
	c.send(1, heartbeatRequest())
	c.receive()
	silent.expectClosed()
	half.expectClosed()
	if f.closedFor("authentication_timeout") != 2 {
		t.Errorf("logs %s", f.logs.String())
	}
	c.send(2, heartbeatRequest())
	c.receive()
}

func TestSASLAboveTLS(t *testing.T) {
	ca := newAuthority(t)
	endpoint := ca.secure(t, tls.VerifyClientCertIfGiven)
	endpoint.SASL = true
	principal := make(chan string, 1)
	f := serveAt(t, endpoint, saslRoutes(whoAmI(principal)), Options{})
	c := f.dialTLS(ca.client(ca.issue(t, "alice", time.Now().Add(time.Hour))))
	c.send(1, login("bob"))
	c.receive()
	c.send(2, heartbeatRequest())
	c.receive()
	if got := within(t, principal); got != "User:bob" {
		t.Errorf("principal %s", got)
	}
	c = f.dialTLS(ca.client(ca.issue(t, "alice", time.Now().Add(time.Hour)))) // a certificate is no login
	c.send(1, heartbeatRequest())
	c.expectClosed()
	if f.closedFor("unauthenticated") != 1 {
		t.Errorf("logs %s", f.logs.String())
	}
}

func TestSegmentsOverTLSArriveWhole(t *testing.T) {
	ca := newAuthority(t)
	next := make(chan [][]byte, 1)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, _ *Conn, req kmsg.Request) kmsg.Response {
		return segmented{req.ResponseKind(), <-next}
	})}}, Options{})
	c := f.dialTLS(ca.client())
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	for i, sizes := range [][]int{{0}, {1}, {5000, 5000, 5000, 5000}, {16384}, {16375, 1}, {100, 32768, 100}, {1 << 20, 3, 1 << 19}, {16383, 16385, 16384}} {
		var parts [][]byte
		var want []byte
		for _, n := range sizes {
			parts = append(parts, noise[:n])
			want = append(want, noise[:n]...)
		}
		next <- parts
		c.send(int32(i), heartbeatRequest())
		id, body := c.receive()
		if id != int32(i) || !bytes.Equal(body, append([]byte{0}, want...)) {
			t.Fatalf("answer to %d, %d bytes of %v", id, len(body), sizes)
		}
	}
}

// records counts the writes that a connection of TLS would make records of.
type records [][]byte

func (r *records) Write(p []byte) (int, error) {
	*r = append(*r, bytes.Clone(p))
	return len(p), nil
}

func TestSlicesAreGatheredToFullRecords(t *testing.T) {
	var small, mixed records
	var many net.Buffers
	for range 1000 {
		many = append(many, make([]byte, 61))
	}
	must(t, writeRecords(&small, many))
	if len(small) != 4 { // 61,000 bytes
		t.Errorf("1,000 small slices took %d writes", len(small))
	}
	must(t, writeRecords(&mixed, net.Buffers{make([]byte, 20), make([]byte, 1<<20), make([]byte, 20)}))
	if len(mixed) != 3 || len(mixed[0]) != recordBytes || len(mixed[1])%recordBytes != 0 {
		t.Errorf("%d writes", len(mixed))
	}
}

func TestShutdownEndsStreamsOfTLSProperly(t *testing.T) {
	ca := newAuthority(t)
	h := newHeld()
	f := serveAt(t, ca.secure(t, tls.NoClientCert), Routes{0: h.produceRoute()}, Options{})
	shaking := f.dial()
	config := ca.client()
	config.MaxVersion = tls.VersionTLS12 // where alerts are seen from outside
	c := f.dial()
	wire := &tap{Conn: c.Conn}
	c.Conn = tls.Client(wire, config)
	c.send(1, produceRequest(100))
	r := within(t, h.begun)
	down := make(chan error, 1)
	go func() { down <- f.srv.Shutdown(context.Background()) }()
	shaking.expectClosed()
	close(r.free)
	c.receive()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d bytes and %v, want the end of the stream", n, err)
	}
	const alert = 21
	if got := wire.received.Bytes(); len(got) < 31 || got[len(got)-31] != alert {
		t.Error("the stream was cut off without close_notify")
	}
	must(t, within(t, down))
}

func TestRetiredConnectionOfTLSIsReadAndAnswersNothing(t *testing.T) {
	ca := newAuthority(t)
	begun := make(chan struct{}, 100)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), Routes{12: {Name: "Heartbeat", Max: 4, Handler: Blocking(func(_ context.Context, c *Conn, req kmsg.Request) kmsg.Response {
		begun <- struct{}{}
		c.Retire()
		return req.ResponseKind()
	})}}, Options{})
	c := f.dialTLS(ca.client())
	c.send(1, heartbeatRequest())
	if n, err := io.Copy(io.Discard, c); n != 0 || err != nil {
		t.Errorf("%d bytes and %v, want the end of the stream", n, err)
	}
	c.send(2, heartbeatRequest())
	within(t, begun)
	within(t, begun)
}

func TestFloodOfHandshakesLeavesNothingBehind(t *testing.T) {
	ca := newAuthority(t)
	f := serveAt(t, ca.secure(t, tls.NoClientCert), answerAtOnce(), Options{MaxConnections: func() int { return 400 }, AuthenticationTimeout: time.Second})
	goroutines := runtime.NumGoroutine()
	for range 500 {
		c := f.dial()
		_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0})
	}
	c := f.dialTLS(ca.client())
	c.send(1, heartbeatRequest())
	c.receive()
	await(t, "strangers are closed", func() bool { return f.srv.Connections() == 1 })
	await(t, "goroutines return", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
}

// TestCertificatesAreToldOf: those that make a peer known, and those that are refused; who needs none and has none is nobody's
// business.
func TestCertificatesAreToldOf(t *testing.T) {
	ca, others := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		name    string
		auth    tls.ClientAuthType
		certs   []tls.Certificate
		want    string
		refused bool
	}{
		{"right", tls.RequireAndVerifyClientCert, []tls.Certificate{ca.issue(t, "alice", hour)}, "User:alice", false},
		{"without a principal", tls.RequireAndVerifyClientCert, []tls.Certificate{ca.issue(t, "nobody", hour)}, Anonymous, true},
		{"of another authority", tls.RequireAndVerifyClientCert, []tls.Certificate{others.issue(t, "alice", hour)}, Anonymous, true},
		{"missing", tls.RequireAndVerifyClientCert, nil, Anonymous, true},
		{"not needed", tls.VerifyClientCertIfGiven, nil, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			type proof struct {
				principal string
				refused   bool
			}
			proofs := make(chan proof, 10)
			endpoint := ca.secure(t, tc.auth)
			endpoint.Proved = func(c *Conn, refused error) { proofs <- proof{c.Session().Principal, refused != nil} }
			f := serveAt(t, endpoint, answerAtOnce(), Options{})
			config := ca.client()
			if tc.certs != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &tc.certs[0], nil }
			}
			c := f.dialTLS(config)
			if tc.want == "" {
				c.send(1, heartbeatRequest())
				c.receive()
				if len(proofs) > 0 {
					t.Errorf("told of %v", <-proofs)
				}
				return
			}
			_, _ = c.Write(frameOf(1, heartbeatRequest())) // which shakes hands, and may be too late
			if got := within(t, proofs); got != (proof{tc.want, tc.refused}) {
				t.Errorf("told of %v", got)
			}
		})
	}
}
