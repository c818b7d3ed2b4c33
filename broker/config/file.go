package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/runnel-io/runnel/broker/settings"
)

// fileVersion is the version of the file's keys that this package reads.
const fileVersion = "1"

// file walks a YAML document and notes the line of every leaf.
type file struct {
	*loader
	name    string
	seen    map[string]int // line of each path, to refuse repeats
	version *yaml.Node
}

// readFile takes the values of a YAML file.
func (l *loader) readFile(name string, data []byte) {
	f := &file{loader: l, name: name, seen: make(map[string]int)}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	err := decoder.Decode(&document)
	if err != nil && !errors.Is(err, io.EOF) {
		l.notYAML(name, strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		l.problem(name, "must hold one YAML document")
		return
	}
	if len(document.Content) == 1 {
		f.mapping("", document.Content[0])
	}
	f.checkVersion()
}

// lineOf takes a line's number from a message of the YAML library.
var lineOf = regexp.MustCompile(`^line ([0-9]+): (.*)$`)

// notYAML tells of a file whose keys are not known, so that none of them can be said to be missing.
func (l *loader) notYAML(name, text string) {
	l.unread = true
	if m := lineOf.FindStringSubmatch(text); m != nil {
		name, text = name+":"+m[1], m[2]
	}
	if strings.Contains(text, "cannot start any token") {
		text += " (a tab? YAML is indented with spaces)"
	}
	l.problem(name, "%s", text)
}

func (f *file) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", f.name, n.Line) }

func (f *file) checkVersion() {
	switch {
	case f.version == nil:
		f.problem(f.name, "lacks the version of its keys: begin with \"version: %s\"", fileVersion)
	case f.version.Value != fileVersion:
		f.problem(f.at(f.version), "version %q is not known; this binary reads version %s", f.version.Value, fileVersion)
	}
}

// mapping walks the keys below path, which is "" at the top and else ends in a dot.
func (f *file) mapping(path string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // a section whose lines are all commented out
	}
	if n.Kind != yaml.MappingNode {
		f.problem(f.at(n), "%s must be a mapping of keys to values", orTop(path))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, child := n.Content[i], n.Content[i+1]
		name := path + key.Value
		if line, ok := f.seen[name]; ok {
			f.problem(f.at(key), "%s stands here and in line %d", name, line)
			continue
		}
		f.seen[name] = key.Line
		f.entry(name, key, child)
	}
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return strings.TrimSuffix(path, ".")
}

func (f *file) entry(name string, key, child *yaml.Node) {
	if setting, ok := strings.CutPrefix(name, clusterKey+"."); ok {
		f.clusterDefault(setting, key, child)
		return
	}
	if rest, ok := strings.CutPrefix(name, listenersKey+"."); ok {
		f.listener(rest, key, child)
		return
	}
	if name == "version" {
		f.version = child
		return
	}
	if k, ok := lookup(name); ok {
		take := f.scalar
		if _, isList := k.Kind.(list); isList {
			take = f.items
		}
		if text, ok := take(name, child); ok {
			f.keys[name] = setting{text: text, origin: f.at(key)}
		}
		return
	}
	if isSection(name) {
		f.mapping(name+".", child)
		return
	}
	if near := settings.Nearest(name, pathsAndSections()); near != "" {
		f.problem(f.at(key), "unknown key %q (did you mean %q?)", name, near)
		return
	}
	f.problem(f.at(key), "unknown key %q", name)
}

// listener takes a listener's mapping, or one of its keys.
func (f *file) listener(path string, key, child *yaml.Node) {
	if name, _, nested := strings.Cut(path, "."); !nested {
		if !f.validListener(f.at(key), name) {
			return
		}
		spelt := listenersKey + "." + strings.ToUpper(name)
		if line, ok := f.seen[spelt]; ok && line != key.Line {
			f.problem(f.at(key), "listener %s stands here and in line %d: upper and lower case are one", name, line)
			return
		}
		f.seen[spelt] = key.Line
		f.listeners.mention(name)
		f.mapping(listenersKey+"."+path+".", child)
		return
	}
	if text, ok := f.scalar(listenersKey+"."+path, child); ok {
		f.listenerSetting(path, setting{text: text, origin: f.at(key)})
	}
}

// clusterDefault takes one setting below cluster; a YAML list is a Kafka list.
func (f *file) clusterDefault(name string, key, child *yaml.Node) {
	if text, ok := f.items(clusterKey+"."+name, child); ok {
		f.cluster[name] = setting{text: text, origin: f.at(key)}
	}
}

// items returns the text of a leaf, or those of a list of them with commas in between.
func (f *file) items(name string, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.SequenceNode {
		return f.scalar(name, n)
	}
	var list []string
	for _, item := range n.Content {
		text, ok := f.scalar(name, item)
		if !ok {
			return "", false
		}
		list = append(list, text)
	}
	return strings.Join(list, ","), true
}

// scalar returns the text of a leaf; a null is an empty text.
func (f *file) scalar(name string, n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		f.problem(f.at(n), "%s must be a single value", name)
		return "", false
	}
	if n.Tag == "!!null" {
		return "", true
	}
	return n.Value, true
}

// isSection tells whether keys stand below the path.
func isSection(path string) bool {
	if path == clusterKey || path == listenersKey {
		return true
	}
	for _, k := range keys {
		if strings.HasPrefix(k.Name, path+".") {
			return true
		}
	}
	return false
}

// pathsAndSections returns all that may stand in a file, for suggestions.
func pathsAndSections() []string {
	paths := []string{"version", clusterKey, listenersKey}
	for _, k := range keys {
		paths = append(paths, k.Name)
		if section, _, ok := strings.Cut(k.Name, "."); ok {
			paths = append(paths, section)
		}
	}
	return paths
}
