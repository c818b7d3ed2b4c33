package config

import (
	"fmt"
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
