package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// danger is something that gives away what is configured as if it were protected. A broker with one does not start, unless
// allow_unsafe names it.
type danger struct {
	name string // as in allow_unsafe
	doc  string // what it is, for documentation: a phrase
	// found says what in a configuration is it, "" if nothing is. It looks at nothing else.
	found func(c *Config) string
}

// dangers are all there are, each with cases in TestDangers.
var dangers = []danger{
	{"admin_token_without_tls", "the admin token goes over the network in clear", func(c *Config) string {
		if c.Admin.Listen == "" || c.Admin.Token == "" || c.Admin.Certificate != "" || loopback(c.Admin.Listen) {
			return ""
		}
		return fmt.Sprintf("admin.token is sent in clear to %s; set admin.certificate", c.Admin.Listen)
	}},
	{"plain_without_tls", "passwords of PLAIN go over the network in clear", func(c *Config) string {
		return c.sentInClear("PLAIN", "passwords")
	}},
	{"oauthbearer_without_tls", "tokens of OAUTHBEARER go over the network in clear", func(c *Config) string {
		return c.sentInClear("OAUTHBEARER", "tokens")
	}},
	{"oauthbearer_issuer_without_tls", "whoever is between the broker and the identity provider chooses the keys of its tokens", func(c *Config) string {
		if !slices.Contains(c.SASL.Mechanisms, "OAUTHBEARER") || !slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.HasSASL() }) {
			return ""
		}
		from := cmp.Or(c.SASL.OAuthBearer.JWKSEndpointURL, c.SASL.OAuthBearer.ExpectedIssuer)
		if u, err := url.Parse(from); err != nil || u.Scheme != "http" || loopbackHost(u.Hostname()) {
			return ""
		}
		return fmt.Sprintf("the keys of tokens are fetched in clear from %s", RedactURL(from))
	}},
	{"anonymous_super_user", "clients that nothing authenticates are super users beside access rules", func(c *Config) string {
		open := c.openBesideRules()
		if open == nil || !slices.ContainsFunc(strings.Split(c.Cluster.SuperUsers, ";"), func(user string) bool { return strings.TrimSpace(user) == anonymous }) {
			return ""
		}
		return fmt.Sprintf("%s is one of super.users, and whoever reaches listener %s is that", anonymous, open.Name)
	}},
	{"everyone_without_authentication", "clients that nothing authenticates may do all that no access rule is about", func(c *Config) string {
		open := c.openBesideRules()
		if open == nil || !c.Cluster.AllowEveryone {
			return ""
		}
		return fmt.Sprintf("allow.everyone.if.no.acl.found is set, and whoever reaches listener %s is everyone", open.Name)
	}},
}

// anonymous is the principal of clients that nothing authenticates.
const anonymous = "User:ANONYMOUS"

// sentInClear says where what clients authenticate with by a mechanism goes over the network as it is, "" if nowhere.
func (c *Config) sentInClear(mechanism, what string) string {
	if !slices.Contains(c.SASL.Mechanisms, mechanism) {
		return ""
	}
	for i := range c.Listeners {
		if l := &c.Listeners[i]; l.HasSASL() && !l.HasTLS() && !l.Loopback() {
			return fmt.Sprintf("sasl.mechanisms has %s, whose %s are sent in clear to listener %s at %s; make its protocol SASL_SSL", mechanism, what, l.Name, l.Listen)
		}
	}
	return ""
}

// openBesideRules is a listener beyond loopback that serves whoever comes although there are access rules, nil if none does.
func (c *Config) openBesideRules() *Listener {
	if c.Access.Authorizer != "on" {
		return nil
	}
	for i := range c.Listeners {
		if l := &c.Listeners[i]; !l.Authenticates() && !l.Loopback() {
			return l
		}
	}
	return nil
}

// Unsafe are the dangers of a configuration that AllowUnsafe does not name, a sentence each.
func (c *Config) Unsafe() []string {
	var found []string
	for _, d := range dangers {
		if what := d.found(c); what != "" && !slices.Contains(c.AllowUnsafe, d.name) {
			found = append(found, fmt.Sprintf("%s, or let it be so by allow_unsafe: %s", what, d.name))
		}
	}
	return found
}

func dangerNames() (names []string) {
	for _, d := range dangers {
		names = append(names, d.name)
	}
	return names
}

func dangerDoc() string {
	var b strings.Builder
	b.WriteString("What a broker starts with although it gives away what seems to be protected, separated by commas:")
	for i, d := range dangers {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " `%s` (%s)", d.name, d.doc)
	}
	return b.String() + "."
}
