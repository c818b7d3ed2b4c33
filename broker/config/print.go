package config

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"
)

const redacted = "********"

// redact returns a value that may be shown.
func (k Key) redact(text string) string {
	switch {
	case text == "":
		return ""
	case k.Secret:
		return redacted
	case k.Kind.String() == "URL":
		return RedactURL(text)
	}
	return text
}

// RedactURL returns the URL without the passwords in it.
func RedactURL(s string) string {
	if strings.HasPrefix(s, fileScheme) {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		return redacted // what cannot be parsed cannot be redacted in part
	}
	if _, ok := u.User.Password(); ok {
		u.User = url.UserPassword(u.User.Username(), "-")
		s = strings.Replace(u.String(), ":-@", ":"+redacted+"@", 1)
	}
	return redactQuery(s, u)
}

// redactQuery hides parameters such as password and sslpassword.
func redactQuery(s string, u *url.URL) string {
	if u.RawQuery == "" {
		return s
	}
	parameters := strings.Split(u.RawQuery, "&")
	for i, p := range parameters {
		if name, _, ok := strings.Cut(p, "="); ok && secretParameter(name) {
			parameters[i] = name + "=" + redacted
		}
	}
	return strings.Replace(s, "?"+u.RawQuery, "?"+strings.Join(parameters, "&"), 1)
}

func secretParameter(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "pass") || strings.Contains(name, "secret") || strings.Contains(name, "token")
}

// values lists what was resolved, redacted.
func (l *loader) values() []Value {
	var values []Value
	for _, k := range keys {
		if len(l.listeners.order) > 0 && isListenKey(k.Name) {
			continue // listeners stand in their place
		}
		s := l.keys[k.Name]
		if k.Secret && l.keys[k.Name+fileSuffix].text != "" {
			s = setting{origin: byDefault} // the file is shown
		}
		values = append(values, Value{Key: k.Name, Text: k.redact(s.text), Origin: s.origin, Default: s.origin == byDefault})
	}
	for _, name := range l.listeners.order {
		for _, k := range listenerKeys {
			s := l.listeners.values[name][k.Name]
			values = append(values, Value{
				Key: l.listeners.path(name, k.Name), Text: s.text, Origin: cmp.Or(s.origin, byDefault), Default: s.origin == "",
			})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.cluster)) {
		s := l.cluster[name]
		values = append(values, Value{Key: clusterKey + "." + name, Text: s.text, Origin: s.origin})
	}
	return values
}

// WriteYAML writes the values as a file that Load takes (but for what is redacted), the origin of each behind it. It
// leaves defaults out unless effective is set.
func (l *Loaded) WriteYAML(w io.Writer, effective bool) error {
	lines := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(lines, "version: "+fileVersion)
	var open []string // sections
	for _, v := range l.Values {
		if v.Default && !effective {
			continue
		}
		sections, leaf := split(v.Key)
		shared := 0
		for shared < min(len(open), len(sections)) && open[shared] == sections[shared] {
			shared++
		}
		for i, section := range sections[shared:] {
			fmt.Fprintf(lines, "%s%s:\n", strings.Repeat("  ", shared+i), section)
		}
		open = sections
		text, err := yamlScalar(v.Text)
		if err != nil {
			return fmt.Errorf("write %s: %w", v.Key, err)
		}
		fmt.Fprintf(lines, "%s%s: %s\t# %s\n", strings.Repeat("  ", len(sections)), leaf, text, v.Origin)
	}
	return lines.Flush()
}

// split returns the sections of the file in which a key stands, and what it is called there. Kafka's names have dots of their
// own.
func split(key string) (sections []string, leaf string) {
	if setting, ok := strings.CutPrefix(key, clusterKey+"."); ok {
		return []string{clusterKey}, setting
	}
	parts := strings.Split(key, ".")
	return parts[:len(parts)-1], parts[len(parts)-1]
}

// yamlScalar quotes a value where YAML asks for it.
func yamlScalar(s string) (string, error) {
	if s == "" {
		return `""`, nil
	}
	n := yaml.Node{Kind: yaml.ScalarNode, Value: s}
	if strings.Contains(s, "\n") {
		n.Style = yaml.DoubleQuotedStyle // on one line
	}
	out, err := yaml.Marshal(&n)
	return strings.TrimSpace(string(out)), err
}
