// Package oidctest is an identity provider for tests: it has a discovery document, keys and tokens.
package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// Provider is an identity provider that listens on the loopback. All methods may run concurrently.
type Provider struct {
	t      testing.TB
	server *httptest.Server

	mu      sync.Mutex
	down    bool
	keys    []key // the last one signs
	fetches int
}

type key struct {
	id      string
	private *ecdsa.PrivateKey
}

// Paths of what a Provider serves.
const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/keys"
)

// New starts a provider, which runs until the test ends.
func New(t testing.TB) *Provider {
	p := &Provider{t: t}
	p.Rotate()
	p.server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.server.Close)
	return p
}

// Issuer is the provider's name in tokens.
func (p *Provider) Issuer() string { return p.server.URL }

// KeysURL is where its keys are.
func (p *Provider) KeysURL() string { return p.server.URL + keysPath }

// SetDown makes all requests fail, or no longer.
func (p *Provider) SetDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Fetches is how often keys were asked for.
func (p *Provider) Fetches() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetches
}

// Rotate signs with a new key from now on. The others stay valid.
func (p *Provider) Rotate() {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, key{fmt.Sprintf("key-%d", len(p.keys)), private})
}

// Withdraw makes all keys but the latest invalid.
func (p *Provider) Withdraw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = p.keys[len(p.keys)-1:]
}

func (p *Provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.URL.Path == keysPath {
		p.fetches++
	}
	var document any
	switch {
	case p.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	case r.URL.Path == discoveryPath:
		document = map[string]any{"issuer": p.server.URL, "jwks_uri": p.server.URL + keysPath}
	case r.URL.Path == keysPath:
		document = map[string]any{"keys": p.published()}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // who hangs up does not want it
}

func (p *Provider) published() []map[string]string {
	var all []map[string]string
	for _, k := range p.keys {
		point, err := k.private.PublicKey.Bytes() // 4, and the coordinates
		if err != nil {
			panic(err) // P-256 has bytes
		}
		all = append(all, map[string]string{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": k.id, "x": b64(point[1:33]), "y": b64(point[33:])})
	}
	return all
}

// Claims are those of a token for subject and audience that is valid for an hour, with others that replace them; nil takes one away.
func (p *Provider) Claims(subject, audience string, others map[string]any) map[string]any {
	now := time.Now().Unix()
	claims := map[string]any{"iss": p.Issuer(), "sub": subject, "aud": audience, "iat": now, "exp": now + 3600}
	maps.Copy(claims, others)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Token is signed with the latest key.
func (p *Provider) Token(subject, audience string, others map[string]any) string {
	p.mu.Lock()
	signer := p.keys[len(p.keys)-1]
	p.mu.Unlock()
	return p.sign(signer, map[string]any{"alg": "ES256", "kid": signer.id}, p.Claims(subject, audience, others))
}

func (p *Provider) sign(by key, header, claims map[string]any) string {
	signed := p.Unsigned(header, claims)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, by.private, digest[:])
	if err != nil {
		p.t.Fatal(err)
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// Unsigned is a token without its signature.
func (p *Provider) Unsigned(header, claims map[string]any) string {
	p.t.Helper()
	var parts [2]string
	for i, part := range []map[string]any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			p.t.Fatal(err)
		}
		parts[i] = b64(text)
	}
	return parts[0] + "." + parts[1]
}

// Symmetric is a token with a code made of a key that everybody knows: the latest public key.
func (p *Provider) Symmetric(claims map[string]any) string {
	p.mu.Lock()
	signer := p.keys[len(p.keys)-1]
	p.mu.Unlock()
	public, err := signer.private.PublicKey.Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	signed := p.Unsigned(map[string]any{"alg": "HS256", "kid": signer.id}, claims)
	code := hmac.New(sha256.New, public)
	code.Write([]byte(signed))
	return signed + "." + b64(code.Sum(nil))
}

// Forged is a token signed by a key of somebody else's, which has the name of the latest key if known is set, or another.
func (p *Provider) Forged(known bool, claims map[string]any) string {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	id := "unknown-" + rand.Text()
	if known {
		p.mu.Lock()
		id = p.keys[len(p.keys)-1].id
		p.mu.Unlock()
	}
	return p.sign(key{id, private}, map[string]any{"alg": "ES256", "kid": id}, claims)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
