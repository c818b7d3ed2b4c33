package broker

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/runnel-io/runnel/broker/audit"
	"github.com/runnel-io/runnel/broker/auth"
	"github.com/runnel-io/runnel/broker/wire"
	"github.com/runnel-io/runnel/metastore"
)

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []audit.Event
}

func (r *recorder) Record(e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

// taken returns the events since it was last called.
func (r *recorder) taken() []audit.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	events := r.events
	r.events = nil
	return events
}

// saslHarness has a listener where clients authenticate, and the user alice with a password.
type saslHarness struct {
	*harness
	recorder *recorder
	address  string
	now      time.Time // of the broker, for re-authentications
}

func newSaslHarness(t *testing.T, overrides map[string]string) *saslHarness {
	t.Helper()
	settings := map[string]string{"connections.failed.authentication.delay.ms": "0"}
	for k, v := range overrides {
		settings[k] = v
	}
	s := &saslHarness{harness: newHarness(t, settings, 0), recorder: new(recorder), now: time.Now()}
	mechanisms, err := auth.New(s.replica, auth.Options{Enabled: []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512, auth.Plain}})
	must(t, err)
	s.broker.Authentication, s.broker.Audit, s.broker.Now = mechanisms, s.recorder, func() time.Time { return s.now }
	for _, user := range []string{"alice", "bob"} {
		set := make(map[string]string)
		for _, m := range []auth.Mechanism{auth.ScramSHA256, auth.ScramSHA512} {
			c, err := auth.NewCredential(m, user+"'s secret", auth.MinIterations)
			must(t, err)
			set[string(m)] = c.Encode()
		}
		must(t, s.replica.AlterConfigs(t.Context(), []metastore.ConfigChange{{
			ConfigResource: metastore.ConfigResource{Kind: metastore.Credentials, Name: user}, Set: set,
		}}))
	}
	srv, err := wire.NewServer(s.broker.Routes(), wire.Options{})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s.address = ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- srv.Serve(context.Background(), ln, &wire.Endpoint{Name: "SASL", SASL: true}) }()
	t.Cleanup(func() {
		must(t, srv.Shutdown(context.Background()))
		<-served
	})
	s.dial(t)
	return s
}

// dial makes another connection the one that is asked.
func (s *saslHarness) dial(t *testing.T) {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s.conn = conn
}

func (s *saslHarness) handshake(version int16, mechanism string) *kmsg.SASLHandshakeResponse {
	s.t.Helper()
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Mechanism = mechanism
	return ask[*kmsg.SASLHandshakeResponse](s.harness, version, req)
}

func (s *saslHarness) authenticate(version int16, token string) *kmsg.SASLAuthenticateResponse {
	s.t.Helper()
	req := kmsg.NewPtrSASLAuthenticateRequest()
	req.SASLAuthBytes = []byte(token)
	return ask[*kmsg.SASLAuthenticateResponse](s.harness, version, req)
}

// ended tells whether the broker has closed the connection, and waits for it.
func (s *saslHarness) ended() bool {
	_ = s.conn.SetDeadline(time.Now().Add(10 * time.Second))
	n, err := s.conn.Read(make([]byte, 1))
	timeout := net.Error(nil)
	return n == 0 && err != nil && !(errors.As(err, &timeout) && timeout.Timeout())
}

// served tells whether requests are handled.
func (s *saslHarness) served() {
	s.t.Helper()
	ask[*kmsg.MetadataResponse](s.harness, 9, kmsg.NewPtrMetadataRequest())
}

const (
	alice = "\x00alice\x00alice's secret"
	bob   = "\x00bob\x00bob's secret"
)

func TestWithoutSaslItsRequestsAreIllegal(t *testing.T) {
	h := &saslHarness{harness: newHarness(t, nil, 0)}
	for v := range int16(2) {
		equal(t, "handshake", h.handshake(v, "PLAIN").ErrorCode, kerr.IllegalSaslState.Code)
	}
	for v := range int16(3) {
		equal(t, "authenticate", h.authenticate(v, alice).ErrorCode, kerr.IllegalSaslState.Code)
	}
	h.served()
}

func TestNothingElseIsServedBeforeAuthentication(t *testing.T) {
	h := newSaslHarness(t, nil)
	for range 2 {
		ask[*kmsg.ApiVersionsResponse](h.harness, 2, kmsg.NewPtrApiVersionsRequest())
	}
	_, err := h.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrMetadataRequest(), 7))
	must(t, err)
	if !h.ended() {
		t.Error("Metadata is answered")
	}
}

func TestAuthenticationInEveryVersion(t *testing.T) {
	for v := range int16(3) {
		h := newSaslHarness(t, nil)
		chosen := h.handshake(1, "PLAIN")
		equal(t, "handshake", chosen.ErrorCode, 0)
		equal(t, "mechanisms", strings.Join(chosen.SupportedMechanisms, " "), "SCRAM-SHA-256 SCRAM-SHA-512 PLAIN")
		resp := h.authenticate(v, alice)
		if resp.ErrorCode != 0 || resp.ErrorMessage != nil || resp.SessionLifetimeMillis != 0 {
			t.Fatalf("v%d: %+v", v, resp)
		}
		h.served()
		events := h.recorder.taken()
		if len(events) != 1 || events[0].Kind != audit.Authentication || events[0].Failed || events[0].Principal != "User:alice" || events[0].Listener != "SASL" {
			t.Errorf("%+v", events)
		}
		equal(t, "again without end", h.handshake(1, "PLAIN").ErrorCode, kerr.IllegalSaslState.Code)
		equal(t, "a token afterwards", h.authenticate(v, alice).ErrorCode, kerr.IllegalSaslState.Code)
		h.served()
	}
}

func TestAuthenticationsThatFailEndTheConnection(t *testing.T) {
	usual := "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-256"
	for _, test := range []struct {
		name, mechanism, token, text string
		who                          string // in the record
	}{
		{"wrong password", "PLAIN", "\x00alice\x00bob's secret", "Authentication failed: Invalid username or password", "User:alice"},
		{"nobody", "PLAIN", "\x00carol\x00bob's secret", "Authentication failed: Invalid username or password", "User:carol"},
		{"not the form of a token", "SCRAM-SHA-256", "\x00alice\x00", usual, wire.Anonymous},
	} {
		h := newSaslHarness(t, nil)
		equal(t, test.name, h.handshake(1, test.mechanism).ErrorCode, 0)
		resp := h.authenticate(2, test.token)
		if resp.ErrorCode != kerr.SaslAuthenticationFailed.Code || resp.ErrorMessage == nil || *resp.ErrorMessage != test.text {
			t.Errorf("%s: %d %v", test.name, resp.ErrorCode, resp.ErrorMessage)
		}
		if !h.ended() {
			t.Errorf("%s: the connection goes on", test.name)
		}
		events := h.recorder.taken()
		if len(events) != 1 || !events[0].Failed || events[0].Principal != test.who || strings.Contains(events[0].Detail, "secret") {
			t.Errorf("%s: %+v", test.name, events)
		}
	}
}

func TestHandshakesThatFailEndTheConnection(t *testing.T) {
	for name, test := range map[string]func(*saslHarness) int16{
		"another mechanism": func(h *saslHarness) int16 {
			resp := h.handshake(1, "GSSAPI")
			equal(t, "mechanisms", len(resp.SupportedMechanisms), 3)
			return resp.ErrorCode - kerr.UnsupportedSaslMechanism.Code
		},
		"no handshake": func(h *saslHarness) int16 { return h.authenticate(1, alice).ErrorCode - kerr.IllegalSaslState.Code },
		"two of them": func(h *saslHarness) int16 {
			h.handshake(1, "PLAIN")
			return h.handshake(1, "PLAIN").ErrorCode - kerr.IllegalSaslState.Code
		},
	} {
		h := newSaslHarness(t, nil)
		if difference := test(h); difference != 0 {
			t.Errorf("%s: error code differs by %d", name, difference)
		}
		if !h.ended() {
			t.Errorf("%s: the connection goes on", name)
		}
	}
}

func TestTokensWithoutHeaders(t *testing.T) {
	h := newSaslHarness(t, nil)
	send := func(token string) {
		t.Helper()
		_, err := h.conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(token))), token...))
		must(t, err)
	}
	equal(t, "handshake", h.handshake(0, "PLAIN").ErrorCode, 0)
	send(alice)
	var size [4]byte
	_, err := io.ReadFull(h.conn, size[:])
	must(t, err)
	equal(t, "answer", binary.BigEndian.Uint32(size[:]), 0)
	h.served()
	h.dial(t)
	equal(t, "handshake", h.handshake(0, "PLAIN").ErrorCode, 0)
	send("\x00alice\x00x")
	if !h.ended() {
		t.Error("a wrong token is answered")
	}
}

func TestReauthentication(t *testing.T) {
	const hour = "3600000"
	start := func() *saslHarness {
		h := newSaslHarness(t, map[string]string{"connections.max.reauth.ms": hour})
		equal(t, "handshake", h.handshake(1, "PLAIN").ErrorCode, 0)
		equal(t, "lifetime", h.authenticate(2, alice).SessionLifetimeMillis, 3600000)
		equal(t, "the first again", h.handshake(1, "PLAIN").ErrorCode, 0)
		h.served()
		equal(t, "lifetime", h.authenticate(1, alice).SessionLifetimeMillis, 3600000)
		return h
	}
	h := start()
	equal(t, "twice in a second", h.handshake(1, "PLAIN").ErrorCode, kerr.IllegalSaslState.Code)
	h.served()
	h.now = h.now.Add(leastBetweenLogins)
	equal(t, "without headers", h.handshake(0, "PLAIN").ErrorCode, kerr.IllegalSaslState.Code)
	equal(t, "a second later", h.handshake(1, "PLAIN").ErrorCode, 0)
	equal(t, "as another", h.authenticate(2, bob).ErrorCode, kerr.SaslAuthenticationFailed.Code)
	if !h.ended() {
		t.Error("the connection goes on as another's")
	}
	h = start()
	h.now = h.now.Add(leastBetweenLogins)
	equal(t, "another mechanism", h.handshake(1, "SCRAM-SHA-256").ErrorCode, 0)
	resp := h.authenticate(2, "n,,n=alice,r=x")
	if resp.ErrorCode != kerr.SaslAuthenticationFailed.Code || !strings.Contains(*resp.ErrorMessage, "not supported for re-authentication") || !h.ended() {
		t.Errorf("%+v", resp)
	}
}

func TestClientsOfFranzGo(t *testing.T) {
	h := newSaslHarness(t, nil)
	for name, mechanism := range map[string]func(password string) sasl.Mechanism{
		"PLAIN":         func(p string) sasl.Mechanism { return plain.Auth{User: "alice", Pass: p}.AsMechanism() },
		"SCRAM-SHA-256": func(p string) sasl.Mechanism { return scram.Auth{User: "alice", Pass: p}.AsSha256Mechanism() },
		"SCRAM-SHA-512": func(p string) sasl.Mechanism { return scram.Auth{User: "alice", Pass: p}.AsSha512Mechanism() },
	} {
		for password, right := range map[string]bool{"alice's secret": true, "x": false} {
			c, err := kgo.NewClient(kgo.SeedBrokers(h.address), kgo.SASL(mechanism(password)), kgo.RetryTimeout(time.Second), kgo.RequestRetries(0))
			must(t, err)
			_, err = c.SeedBrokers()[0].Request(t.Context(), kmsg.NewPtrMetadataRequest())
			if right && err != nil || !right && !errors.Is(err, kerr.SaslAuthenticationFailed) {
				t.Errorf("%s with %q: %v", name, password, err)
			}
			c.Close()
		}
	}
}
