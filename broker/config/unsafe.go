package config

import (
	"fmt"
	"net"
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
	{"passwords_without_tls", "passwords of SASL PLAIN go over the network in clear", func(c *Config) string {
		if l := c.exposed(func(l *Listener) bool { return l.HasSASL() && !l.HasTLS() }); l != nil && slices.Contains(c.SASL.Mechanisms, "PLAIN") {
			return fmt.Sprintf("PLAIN sends passwords in clear to listener %s; give it protocol SASL_SSL, or take PLAIN out of sasl.mechanisms", l.Name)
		}
		return ""
	}},
	{"tokens_without_tls", "tokens of SASL OAUTHBEARER go over the network in clear", func(c *Config) string {
		if l := c.exposed(func(l *Listener) bool { return l.HasSASL() && !l.HasTLS() }); l != nil && slices.Contains(c.SASL.Mechanisms, "OAUTHBEARER") {
			return fmt.Sprintf("OAUTHBEARER sends tokens in clear to listener %s; give it protocol SASL_SSL, or take OAUTHBEARER out of sasl.mechanisms", l.Name)
		}
		return ""
	}},
	{"issuer_without_tls", "keys of the identity provider come over the network in clear, so that who changes them issues tokens", func(c *Config) string {
		if !slices.Contains(c.SASL.Mechanisms, "OAUTHBEARER") {
			return ""
		}
		o := &c.SASL.OAuthBearer
		for _, address := range []string{o.ExpectedIssuer, o.JWKSEndpointURL} {
			if u, err := url.Parse(address); err == nil && u.Scheme == "http" && !loopback(net.JoinHostPort(u.Hostname(), "0")) {
				return fmt.Sprintf("the identity provider's keys come in clear from %s; use https", u.Redacted())
			}
		}
		return ""
	}},
	{"rights_for_anybody", "there are access rules, and listeners where nobody authenticates and everybody has rights all the same", func(c *Config) string {
		l := c.exposed(func(l *Listener) bool { return !l.Authenticates() })
		if l == nil || c.Access.Authorizer != "on" {
			return ""
		}
		for user := range strings.SplitSeq(c.Cluster.SuperUsers, ";") {
			if strings.TrimSpace(user) == "User:ANONYMOUS" {
				return fmt.Sprintf("everybody at listener %s, where nobody authenticates, is the super user User:ANONYMOUS", l.Name)
			}
		}
		if c.Cluster.AllowEveryone {
			return fmt.Sprintf("allow.everyone.if.no.acl.found gives rights to everybody at listener %s, where nobody authenticates", l.Name)
		}
		return ""
	}},
}

// exposed is the first listener of a kind that other machines can reach, nil if there is none.
func (c *Config) exposed(is func(l *Listener) bool) *Listener {
	for i := range c.Listeners {
		if l := &c.Listeners[i]; !l.Loopback() && is(l) {
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
