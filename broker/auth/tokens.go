package auth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// OAuthOptions say whose tokens are taken.
type OAuthOptions struct {
	Issuer   string   // that tokens must name; required
	Audience []string // of which tokens must name one; required
	// JWKSURL is where the keys of the issuer are; default: what the issuer's discovery document says.
	JWKSURL   string
	ClockSkew time.Duration // between the clocks of the issuer and ours; default 30 s, negative is none
	SubClaim  string        // that names the user; default "sub"
	// Transport reaches the issuer; default: as the standard library's default, without keeping connections.
	Transport http.RoundTripper

	MinRefresh time.Duration // between two looks for keys, when tokens name unknown ones; default 10 s
	MaxAge     time.Duration // of keys before they are looked for again; default 1 h. Old ones serve while there are no new ones
	Timeout    time.Duration // of one look; default 5 s
}

func (o OAuthOptions) withDefaults() OAuthOptions {
	if o.SubClaim == "" {
		o.SubClaim = "sub"
	}
	if o.Transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.DisableKeepAlives = true
		o.Transport = own
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.ClockSkew, 30 * time.Second}, {&o.MinRefresh, 10 * time.Second}, {&o.MaxAge, time.Hour}, {&o.Timeout, 5 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	o.ClockSkew = max(o.ClockSkew, 0)
	return o
}

// algorithms are those of signatures that are taken. None is symmetric: a public key must not become a secret.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// tokens verifies tokens of an issuer.
type tokens struct {
	opts     OAuthOptions
	verifier *oidc.IDTokenVerifier
	now      func() time.Time
}

func newTokens(o *OAuthOptions, now func() time.Time) (*tokens, error) {
	if o == nil || o.Issuer == "" || len(o.Audience) == 0 {
		return nil, errors.New("OAUTHBEARER needs an issuer and an audience")
	}
	t := &tokens{opts: o.withDefaults(), now: now}
	// Times and audiences are checked here: the library knows one audience, and allows minutes of skew that nobody chose.
	t.verifier = oidc.NewVerifier(o.Issuer, newKeys(t.opts, now), &oidc.Config{
		SupportedSigningAlgs: algorithms, SkipClientIDCheck: true, SkipExpiryCheck: true, Now: now,
	})
	return t, nil
}

// claims is what a token says that counts.
type claims struct {
	name    string
	expires time.Time
}

// verify returns what a token claims, if it is one of the issuer's for us and of now. ErrUnavailable. With another error, the
// name may be there all the same.
func (t *tokens) verify(ctx context.Context, token string) (claims, error) {
	if err := t.checkIssuer(token); err != nil {
		return claims{}, err
	}
	var missed error
	verified, err := t.verifier.Verify(context.WithValue(ctx, missedKeys{}, &missed), token)
	switch {
	case missed != nil: // the library does not wrap what a KeySet returns
		return claims{}, errors.Join(ErrUnavailable, missed)
	case err != nil:
		return claims{}, err
	}
	var named map[string]json.RawMessage
	if err := verified.Claims(&named); err != nil {
		return claims{}, fmt.Errorf("read claims: %w", err)
	}
	var c claims
	if err := json.Unmarshal(named[t.opts.SubClaim], &c.name); err != nil || CheckName(c.name) != nil {
		return claims{}, fmt.Errorf("claim %q names no user", t.opts.SubClaim)
	}
	if !slices.ContainsFunc(verified.Audience, func(a string) bool { return slices.Contains(t.opts.Audience, a) }) {
		return c, errors.New("token is for another audience")
	}
	c.expires, err = t.checkTimes(named)
	return c, err
}

// checkTimes checks exp, which must be there, nbf and iat (RFC 7519, section 4.1).
func (t *tokens) checkTimes(named map[string]json.RawMessage) (expires time.Time, err error) {
	now, times := t.now(), make(map[string]time.Time)
	for _, claim := range []string{"exp", "nbf", "iat"} {
		raw, ok := named[claim]
		if !ok {
			continue
		}
		var seconds float64
		if err := json.Unmarshal(raw, &seconds); err != nil || seconds <= 0 || seconds > 1<<40 {
			return time.Time{}, fmt.Errorf("claim %q is no time", claim)
		}
		times[claim] = time.UnixMilli(int64(seconds * 1000))
	}
	expires, ok := times["exp"]
	switch {
	case !ok:
		return time.Time{}, errors.New("token does not expire")
	case !now.Before(expires.Add(t.opts.ClockSkew)):
		return time.Time{}, errors.New("token has expired")
	case times["nbf"].After(now.Add(t.opts.ClockSkew)):
		return time.Time{}, errors.New("token is not valid yet")
	case times["iat"].After(now.Add(t.opts.ClockSkew)):
		return time.Time{}, errors.New("token is of the future")
	}
	return expires, nil
}

// checkIssuer looks at a token that nothing is known of yet: keys are not to be looked for on behalf of others' tokens.
func (t *tokens) checkIssuer(token string) error {
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	text, err := base64.RawURLEncoding.DecodeString(payload)
	var said struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(text, &said) != nil {
		return errors.New("not a JWT")
	}
	if said.Issuer != t.opts.Issuer {
		return errors.New("token is another issuer's")
	}
	return nil
}
