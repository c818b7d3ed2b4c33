package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"github.com/runnel-io/runnel/broker/auth/oidctest"
)

// withProvider are mechanisms that take tokens of a provider for the audience "kafka", as of a clock.
func withProvider(t testing.TB, p *oidctest.Provider, o OAuthOptions, now func() time.Time) *Mechanisms {
	t.Helper()
	o.Issuer, o.Audience = p.Issuer(), []string{"other", "kafka"}
	m, err := New(newPeople(t), Options{Enabled: []Mechanism{OAuthBearer}, OAuth: &o, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func bearerMessage(token string) []byte { return []byte("n,,\x01auth=Bearer " + token + "\x01\x01") }

// present lets a client present a token, and acknowledge a refusal.
func present(ctx context.Context, t testing.TB, m *Mechanisms, token string) (Identity, error) {
	t.Helper()
	e := begin(t, m, OAuthBearer)
	reply, done, err := e.Step(ctx, bearerMessage(token))
	if err != nil || done {
		return e.Identity(), err
	}
	if string(reply) != invalidToken {
		t.Errorf("refused with %q", reply)
	}
	_, done, err = e.Step(ctx, []byte("\x01"))
	if done || e.Identity() != (Identity{}) {
		t.Error("the acknowledgment of a refusal logs in")
	}
	return Identity{}, err
}

func TestTokensOfAProvider(t *testing.T) {
	p := oidctest.New(t)
	start := time.Now()
	m := withProvider(t, p, OAuthOptions{}, nil)
	at := func(d time.Duration) int64 { return start.Add(d).Unix() }
	claims := p.Claims("alice", "kafka", nil)
	many := make([]string, 6000)
	for i := range many {
		many[i] = "some-group"
	}
	for _, test := range []struct {
		name, token, cause string
	}{
		{"good", p.Token("alice", "kafka", nil), ""},
		{"one of several audiences", p.Token("alice", "", map[string]any{"aud": []string{"x", "other"}}), ""},
		{"expired within the skew", p.Token("alice", "kafka", map[string]any{"exp": at(-20 * time.Second)}), ""},
		{"fractions of a second", p.Token("alice", "kafka", map[string]any{"exp": float64(at(time.Minute)) + 0.5}), ""},
		{"alg none", p.Unsigned(map[string]any{"alg": "none"}, claims) + ".", "malformed"},
		{"no signature", p.Unsigned(map[string]any{"alg": "ES256"}, claims) + ".", ""},
		{"the public key as a secret", p.Symmetric(claims), "algorithm"},
		{"forged", p.Forged(true, claims), ""},
		{"expired", p.Token("alice", "kafka", map[string]any{"exp": at(-2 * time.Minute)}), "has expired"},
		{"without end", p.Token("alice", "kafka", map[string]any{"exp": nil}), "does not expire"},
		{"an end that is text", p.Token("alice", "kafka", map[string]any{"exp": "tomorrow"}), ""},
		{"not yet valid", p.Token("alice", "kafka", map[string]any{"nbf": at(2 * time.Minute)}), "not valid yet"},
		{"of the future", p.Token("alice", "kafka", map[string]any{"iat": at(2 * time.Minute)}), "future"},
		{"another audience", p.Token("alice", "web", nil), "audience"},
		{"no audience", p.Token("alice", "kafka", map[string]any{"aud": nil}), "audience"},
		{"another issuer", p.Token("alice", "kafka", map[string]any{"iss": "https://example.com"}), "issuer"},
		{"no issuer", p.Token("alice", "kafka", map[string]any{"iss": nil}), "issuer"},
		{"nobody", p.Token("alice", "kafka", map[string]any{"sub": nil}), "names no user"},
		{"a name that is a number", p.Token("alice", "kafka", map[string]any{"sub": 7}), ""},
		{"a name that is none", p.Token("a\nb", "kafka", nil), "names no user"},
		{"no JWT", "opaque", "not a JWT"},
	} {
		got, err := present(t.Context(), t, m, test.token)
		right := test.name == "good" || strings.HasPrefix(test.name, "one of") || strings.HasPrefix(test.name, "expired within") || strings.HasPrefix(test.name, "fractions")
		if (err == nil) != right || right && (got.Principal != "User:alice" || got.Mechanism != OAuthBearer || got.Expires.Before(start.Add(-time.Minute))) {
			t.Errorf("%s: %+v, %v", test.name, got, err)
		}
		// A bad signature makes the keys be looked for again, which is not done twice in a moment.
		if _, ok := errors.AsType[*Refused](err); !right && !ok && !errors.Is(err, ErrUnavailable) || err != nil && !strings.Contains(err.Error(), test.cause) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := present(t.Context(), t, m, p.Token("alice", "kafka", map[string]any{"groups": many})); err == nil {
		t.Error("a token that is too large")
	}
	if got, err := present(t.Context(), t, withProvider(t, p, OAuthOptions{SubClaim: "email"}, nil), p.Token("x", "kafka", map[string]any{"email": "a@example.com"})); err != nil || got.Principal != "User:a@example.com" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := login(t.Context(), m, oauth.Auth{Token: p.Token("alice", "kafka", nil), Extensions: map[string]string{"logicalCluster": "x"}}.AsMechanism()); err != nil || got.Principal != "User:alice" {
		t.Errorf("franz-go: %+v, %v", got, err)
	}
	if _, err := login(t.Context(), m, oauth.Auth{Token: p.Token("alice", "kafka", nil), Zid: "root"}.AsMechanism()); err == nil {
		t.Error("alice gets the rights of root")
	}
}

// clock is one that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestKeysOfAProvider(t *testing.T) {
	p, c := oidctest.New(t), &clock{now: time.Now()}
	m := withProvider(t, p, OAuthOptions{}, c.Now)
	good := func(what, token string) {
		t.Helper()
		if _, err := present(t.Context(), t, m, token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad := func(what, token string, want error) {
		t.Helper()
		_, err := present(t.Context(), t, m, token)
		if refused, ok := errors.AsType[*Refused](err); want == nil && (!ok || refused.Text == "") || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	p.SetDown(true)
	first := p.Token("alice", "kafka", nil)
	bad("down from the start", first, ErrUnavailable)
	p.SetDown(false)
	bad("a moment later", first, ErrUnavailable)
	c.pass(time.Second)
	good("up", first)

	fetches := p.Fetches()
	good("again", first)
	for range 20 {
		bad("of an unknown key", p.Forged(false, p.Claims("alice", "kafka", nil)), nil)
		bad("forged with the name of a known one", p.Forged(true, p.Claims("alice", "kafka", nil)), nil)
	}
	if n := p.Fetches(); n != fetches {
		t.Errorf("keys were fetched %d times for unknown ones", n-fetches)
	}
	c.pass(10 * time.Second)
	bad("of an unknown key, later", p.Forged(false, p.Claims("alice", "kafka", nil)), nil)
	if n := p.Fetches(); n != fetches+1 {
		t.Errorf("keys were fetched %d times", n-fetches)
	}

	p.Rotate()
	c.pass(10 * time.Second)
	lasting := map[string]any{"exp": c.Now().Add(3 * time.Hour).Unix()}
	second := p.Token("bob", "kafka", lasting)
	good("a new key", second)
	good("the old one", first)

	p.SetDown(true)
	c.pass(50 * time.Minute)
	good("down, with keys", second)
	c.pass(11 * time.Minute) // the keys are older than they should be
	good("down, with old keys", second)
	p.SetDown(false)
	p.Rotate()
	p.Withdraw()
	c.pass(time.Second)
	bad("a key that was withdrawn", second, nil) // it is unknown now, and was looked for a moment ago
	good("the third key", p.Token("carol", "kafka", lasting))
	c.pass(10 * time.Second)
	bad("a key that was withdrawn, later", second, nil)
}

// The library has one look for keys at a time, and gives its answer to whoever comes before it has noted that the look has ended.
func TestARefusedLookIsNotTheNextOnes(t *testing.T) {
	p, c := oidctest.New(t), &clock{now: time.Now()}
	m := withProvider(t, p, OAuthOptions{}, c.Now)
	if _, err := present(t.Context(), t, m, p.Token("alice", "kafka", nil)); err != nil {
		t.Fatal(err)
	}
	unknown := p.Forged(false, p.Claims("alice", "kafka", nil))
	for range 200 {
		fetches := p.Fetches()
		_, _ = present(t.Context(), t, m, unknown) // too soon
		c.pass(11 * time.Second)
		if _, err := present(t.Context(), t, m, unknown); err == nil {
			t.Fatal("a token of an unknown key is taken")
		}
		if n := p.Fetches() - fetches; n != 1 {
			t.Fatalf("keys were fetched %d times when they could be", n)
		}
	}
}

// TestManyTokensAtOnceFetchKeysOnce: all brokers' clients come at once when a broker starts.
func TestManyTokensAtOnceFetchKeysOnce(t *testing.T) {
	p := oidctest.New(t)
	m := withProvider(t, p, OAuthOptions{JWKSURL: p.KeysURL()}, nil)
	token := p.Token("alice", "kafka", nil)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := present(t.Context(), t, m, token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := p.Fetches(); n != 1 {
		t.Errorf("keys were fetched %d times", n)
	}
}

func TestMessagesOfBearers(t *testing.T) {
	for _, test := range []struct{ message, token, authzid string }{
		{"n,,\x01auth=Bearer t\x01\x01", "t", ""},
		{"y,a=b=2Cc=3D,\x01host=h\x01port=1\x01auth=bearer  t\x01\x01", "t", "b,c="},
		{"n,,\x01auth=Bearer t\x01", "", ""},
		{"n,,auth=Bearer t\x01\x01", "", ""},
		{"p=tls-unique,,\x01auth=Bearer t\x01\x01", "", ""},
		{"n,b=x,\x01auth=Bearer t\x01\x01", "", ""},
		{"n,a=x=y,\x01auth=Bearer t\x01\x01", "", ""},
		{"n,,\x01auth=Basic t\x01\x01", "", ""},
		{"n,,\x01auth=Bearer \x01\x01", "", ""},
		{"n,,\x01auth=Bearer t\x01auth=Bearer u\x01\x01", "", ""},
		{"n,,\x01a1=x\x01auth=Bearer t\x01\x01", "", ""},
		{"n,,\x01\x01", "", ""},
		{"\x01", "", ""},
		{"", "", ""},
	} {
		token, authzid, err := parseBearer([]byte(test.message))
		if token != test.token || authzid != test.authzid || (err == nil) != (test.token != "") {
			t.Errorf("%q: %q, %q, %v", test.message, token, authzid, err)
		}
	}
}

// FuzzBearer: no message of somebody without a key gets anybody in.
func FuzzBearer(f *testing.F) {
	p := oidctest.New(f)
	m := withProvider(f, p, OAuthOptions{}, nil)
	claims := p.Claims("alice", "kafka", nil)
	for _, token := range []string{p.Forged(true, claims), p.Symmetric(claims), p.Unsigned(map[string]any{"alg": "none"}, claims) + "."} {
		f.Add(bearerMessage(token))
	}
	f.Add([]byte("n,a=x,\x01auth=Bearer a.b.c\x01k=v\x01\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		e, err := m.Start("OAUTHBEARER")
		if err != nil {
			t.Fatal(err)
		}
		if _, done, _ := e.Step(t.Context(), message); done || e.Identity() != (Identity{}) {
			t.Fatalf("%q logs in", message)
		}
	})
}
