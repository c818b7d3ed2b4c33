package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/runnel-io/runnel/broker/settings"
)

// Audit says where events go that concern security.
type Audit struct {
	File  string // path; "": not to a file
	Topic string // name; "": not to a topic
	Rate  int    // events per second of a kind
}

var auditKeys = []Key{
	{Name: "audit.to", Kind: auditSink,
		Doc: "Where events go that concern security: who authenticated and who failed to, what was denied, what administrators changed. `file:///var/log/runnel/audit.log`: lines of JSON in a file, which is made anew after it was renamed; `topic:NAME`: records of a topic of this cluster, which is made if there is none. What can be denied to whom is told in docs/security.md. Unset: nowhere.",
		set: func(c *Config, v value) { c.Audit.File, c.Audit.Topic = auditPlace(v.text) }},
	{Name: "audit.rate", Kind: number{1, 1_000_000}, Default: "100",
		Doc: "Events of a kind (authentication, denial, change) that are recorded per second, on average; ten times as many at once. How many were left out is recorded.",
		set: func(c *Config, v value) { c.Audit.Rate = int(v.number) }},
}

var auditSink = form{"URL", parseAuditSink}

func parseAuditSink(s string) (value, error) {
	file, topic := auditPlace(s)
	switch {
	case s == "":
	case topic != "":
		if err := settings.ValidTopicName(topic); err != nil {
			return value{}, err
		}
	case file == "" || !filepath.IsAbs(file):
		return value{}, fmt.Errorf("must be file:///absolute/path or topic:NAME")
	}
	return value{text: s}, nil
}

func auditPlace(s string) (file, topic string) {
	if name, ok := strings.CutPrefix(s, "topic:"); ok {
		return "", name
	}
	if u, err := url.Parse(s); err == nil && u.Scheme == "file" && u.Host == "" {
		return u.Path, ""
	}
	return "", ""
}
