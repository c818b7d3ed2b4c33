package config

import (
	"slices"
	"strings"
	"time"
)

// SASL is how clients authenticate on listeners that ask for it.
type SASL struct {
	Mechanisms  []string
	OAuthBearer OAuthBearer
}

// OAuthBearer says whose tokens are taken.
type OAuthBearer struct {
	JWKSEndpointURL  string // "": from the issuer's discovery document
	ExpectedIssuer   string
	ExpectedAudience []string // one of which a token must name
	ClockSkew        time.Duration
	SubClaimName     string
}

// Auth is what concerns users.
type Auth struct {
	BootstrapUser     string // "": none
	BootstrapPassword string
}

var authenticationKeys = []Key{
	{Name: "sasl.mechanisms", Kind: someWords{"SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"}, Default: "SCRAM-SHA-256,SCRAM-SHA-512",
		Doc: "The mechanisms by which clients may authenticate on listeners with SASL, of SCRAM-SHA-256, SCRAM-SHA-512, PLAIN and OAUTHBEARER (Kafka's `sasl.enabled.mechanisms`). PLAIN sends the password as it is, which is then checked against the user's credentials of SCRAM: use it with TLS. OAUTHBEARER takes tokens of an identity provider, and needs sasl.oauthbearer.expected_issuer and expected_audience.",
		set: func(c *Config, v value) { c.SASL.Mechanisms = v.list }},
	{Name: "sasl.oauthbearer.expected_issuer", Kind: endpointURL,
		Doc: "URL of the identity provider whose tokens (JWT, RFC 7519) are taken, as it stands in their claim `iss`. Its keys are found by OpenID Connect discovery, unless jwks_endpoint_url is set. They are looked for anew after an hour, and when a token names an unknown one, ten seconds after the last look at the earliest; while the provider is down, those that are known serve on.",
		set: func(c *Config, v value) { c.SASL.OAuthBearer.ExpectedIssuer = v.text }},
	{Name: "sasl.oauthbearer.expected_audience", Kind: text,
		Doc: "Audiences, separated by commas, of which a token must name one in its claim `aud`: those of the provider's tokens that are meant for this cluster.",
		set: func(c *Config, v value) { c.SASL.OAuthBearer.ExpectedAudience = splitWords(v.text) }},
	{Name: "sasl.oauthbearer.jwks_endpoint_url", Kind: endpointURL,
		Doc: "URL of the provider's keys (JWKS), for providers without discovery.",
		set: func(c *Config, v value) { c.SASL.OAuthBearer.JWKSEndpointURL = v.text }},
	{Name: "sasl.oauthbearer.clock_skew", Kind: duration, Default: "30s",
		Doc: "By how much the clocks of the provider and of brokers may differ when it is decided whether a token is valid yet or still.",
		set: func(c *Config, v value) { c.SASL.OAuthBearer.ClockSkew = v.duration }},
	{Name: "sasl.oauthbearer.sub_claim_name", Kind: text, Default: "sub",
		Doc: "The claim of a token that names the user.",
		set: func(c *Config, v value) { c.SASL.OAuthBearer.SubClaimName = v.text }},
	{Name: "auth.bootstrap_user", Kind: text,
		Doc: "Name of a user who gets credentials of SCRAM when a broker starts, if the user has none: with them the first administrator makes the others (`runnel user create`). Credentials that exist are never changed. Should be one of `super.users` if there are rules.",
		set: func(c *Config, v value) { c.Auth.BootstrapUser = v.text }},
	{Name: "auth.bootstrap_password", Kind: text, Secret: true,
		Doc: "Password of auth.bootstrap_user, for as long as nobody has changed it. Flags are visible to every user of the machine: use the file or the environment.",
		set: func(c *Config, v value) { c.Auth.BootstrapPassword = v.text }},
}

// crossCheckAuthentication refuses what is wrong together.
func (l *loader) crossCheckAuthentication(c *Config) {
	if (c.Auth.BootstrapUser == "") != (c.Auth.BootstrapPassword == "") {
		l.problem("", "auth.bootstrap_user and auth.bootstrap_password must be set together")
	}
	o := &c.SASL.OAuthBearer
	if slices.Contains(c.SASL.Mechanisms, "OAUTHBEARER") && (o.ExpectedIssuer == "" || len(o.ExpectedAudience) == 0) {
		l.problem(l.keys["sasl.mechanisms"].origin, "OAUTHBEARER needs sasl.oauthbearer.expected_issuer and sasl.oauthbearer.expected_audience: "+
			"tokens that others issued, or for others, would let anybody in")
	}
}

// splitWords are the words of a list that are separated by commas.
func splitWords(list string) []string {
	var words []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
