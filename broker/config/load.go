package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/broker/settings"
)

// Sources is where values come from. All may be empty.
type Sources struct {
	FileName string            // for messages
	File     []byte            // YAML; nil: no file
	Env      []string          // NAME=value, as os.Environ gives it
	Flags    map[string]string // flags that were given, by key name
	Set      []string          // cluster defaults given by flag, each name=value
	Listener []string          // keys of listeners given by flag, each listener.key=value
	Optional []string          // required keys that the caller can do without
	Only     []string          // keys that alone matter to the caller; nil: all do
}

// Loaded is a configuration together with the origin of each value.
type Loaded struct {
	Config   Config
	Values   []Value  // every key in the table's order, then the cluster defaults that are set, by name
	Warnings []string // what is legal and most likely not meant
}

// Value is one resolved key, safe to show.
type Value struct {
	Key     string // "object_store.url", or "cluster.num.partitions"
	Text    string // redacted
	Origin  string // "default", "runnel.yaml:12", "RUNNEL_LISTEN", "--listen"
	Default bool
}

// Problem is one mistake in a configuration.
type Problem struct {
	Origin string // file:line, variable or flag; "" if it is about no single place
	Text   string
}

func (p *Problem) Error() string {
	if p.Origin == "" {
		return p.Text
	}
	return p.Origin + ": " + p.Text
}

// byDefault is the origin of a value that nobody has set.
const byDefault = "default"

// setting is a value as a source gives it, and from where.
type setting struct {
	text   string
	origin string
}

// loader collects values by precedence and all that is wrong with them.
type loader struct {
	keys      map[string]setting
	listeners *listenerSettings
	cluster   map[string]setting
	problems  []error
	warnings  []string
	unread    bool // the file is not YAML
}

func (l *loader) problem(origin, format string, args ...any) {
	l.problems = append(l.problems, &Problem{Origin: origin, Text: fmt.Sprintf(format, args...)})
}

// Load resolves and checks a configuration. The error joins a *Problem for every mistake. With Only it takes those keys alone:
// what is wrong with others, or missing beside them, is not looked at, since a caller may have part of a broker's sources.
func Load(src Sources) (*Loaded, error) {
	l := &loader{keys: make(map[string]setting), listeners: newListenerSettings(), cluster: make(map[string]setting)}
	for _, k := range keys {
		l.keys[k.Name] = setting{text: k.Default, origin: byDefault}
	}
	if src.File != nil {
		l.readFile(src.FileName, src.File)
	}
	l.readEnv(src.Env)
	l.readFlags(src)
	if src.Only != nil {
		return l.only(src.Only)
	}
	c := l.resolve(src.Optional)
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return &Loaded{Config: *c, Values: l.values(), Warnings: l.warnings}, nil
}

// notOurs matches variables that Kubernetes makes for services whose names begin with runnel.
var notOurs = regexp.MustCompile(`^RUNNEL(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT)|PORT)(_[A-Z0-9_]+)?$`)

// clientVariables are those of the command line that are no keys.
var clientVariables = []string{
	"CONFIG", "BOOTSTRAP", "USER", "PASSWORD", "PASSWORD_FILE", "TOKEN_FILE", "SASL_MECHANISM", "NEW_PASSWORD",
	"CLIENT_TLS", "CLIENT_TLS_CA", "CLIENT_TLS_CERTIFICATE", "CLIENT_TLS_KEY",
}

// readEnv takes the variables of keys and cluster defaults. Other variables that begin with RUNNEL_ are refused if
// they look like a mistyped one, else warned of: they may belong to somebody else.
func (l *loader) readEnv(environ []string) {
	known := make(map[string]string)
	for _, name := range clientVariables {
		known[envPrefix+name] = ""
	}
	for _, k := range keys {
		known[k.Env()] = k.Name
	}
	for _, name := range settings.ClusterNames() {
		known[ClusterEnv(name)] = name
	}
	names := slices.Sorted(maps.Keys(known))
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], envPrefix)
	}
	var listeners []string
	for _, pair := range environ {
		name, text, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || notOurs.MatchString(name) {
			continue
		}
		key, ok := known[name]
		switch {
		case strings.HasPrefix(name, listenersEnv):
			listeners = append(listeners, pair)
		case !ok:
			l.unknownEnv(name, names)
		case key == "":
		case strings.HasPrefix(name, envPrefix+"CLUSTER_"):
			l.cluster[key] = setting{text: text, origin: name}
		default:
			l.keys[key] = setting{text: text, origin: name}
		}
	}
	slices.Sort(listeners) // which is the first does not depend on the order of an environment
	for _, pair := range listeners {
		name, text, _ := strings.Cut(pair, "=")
		l.listenerEnv(name, text)
	}
}

func (l *loader) unknownEnv(name string, known []string) {
	if near := settings.Nearest(strings.TrimPrefix(name, envPrefix), known); near != "" {
		l.problem(name, "unknown variable (did you mean %s%s?)", envPrefix, near)
		return
	}
	l.warnings = append(l.warnings, name+" is set but is no setting of Runnel")
}

func (l *loader) readFlags(src Sources) {
	for name, text := range src.Flags {
		k, ok := lookup(name)
		if !ok {
			l.problem("--"+name, "unknown key")
			continue
		}
		l.keys[name] = setting{text: text, origin: "--" + k.Flag()}
	}
	for _, pair := range src.Set {
		name, text, ok := strings.Cut(pair, "=")
		if !ok {
			l.problem("--"+ClusterFlag, "%q is not of the form name=value", pair)
			continue
		}
		l.cluster[strings.TrimSpace(name)] = setting{text: text, origin: "--" + ClusterFlag}
	}
	for _, pair := range src.Listener {
		path, text, ok := strings.Cut(pair, "=")
		if !ok {
			l.problem("--"+ListenerFlag, "%q is not of the form name.key=value", pair)
			continue
		}
		l.listenerSetting(strings.TrimSpace(path), setting{text: text, origin: "--" + ListenerFlag})
	}
}

// resolve parses every value and checks those that depend on each other.
func (l *loader) resolve(optional []string) *Config {
	c := &Config{}
	l.readSecrets()
	for _, k := range keys {
		s := l.keys[k.Name]
		if s.text == "" && k.Required {
			if l.unread || slices.Contains(optional, k.Name) {
				continue
			}
			l.problem("", "%s is required: set it in the file, as %s or as --%s", k.Name, k.Env(), k.Flag())
			continue
		}
		l.resolveKey(c, k, s)
	}
	l.resolveListeners(c)
	l.resolveCluster(c)
	if len(l.problems) == 0 {
		l.crossCheck(c)
	}
	return c
}

func (l *loader) resolveKey(c *Config, k Key, s setting) {
	v, err := k.Kind.parse(s.text)
	if err != nil {
		l.problem(s.origin, "invalid value %q for %s: %v", k.redact(s.text), k.Name, err)
		return
	}
	k.set(c, v)
}

// only resolves these keys and forgets what is wrong with all else, unless the file is none.
func (l *loader) only(names []string) (*Loaded, error) {
	if !l.unread {
		l.problems = nil
	}
	c := &Config{}
	for _, k := range keys {
		if slices.Contains(names, k.Name) {
			l.resolveKey(c, k, l.keys[k.Name])
		}
	}
	if len(l.problems) > 0 {
		return nil, errors.Join(l.problems...)
	}
	return &Loaded{Config: *c}, nil
}

func (l *loader) resolveCluster(c *Config) {
	overrides, wrong := make(map[string]string), false
	for _, name := range slices.Sorted(maps.Keys(l.cluster)) {
		s := l.cluster[name]
		if err := settings.CheckCluster(name, s.text); err != nil {
			l.problem(s.origin, "cluster: %v", err)
			wrong = true
			continue
		}
		overrides[name] = s.text
	}
	if wrong {
		return
	}
	cluster, err := settings.NewCluster(overrides)
	if err != nil { // values that do not go together
		l.problem("", "cluster: %v", err)
		return
	}
	c.Cluster = cluster
}

// mostLinger is half of a Java producer's request.timeout.ms by default.
const mostLinger = 15 * time.Second

// crossCheck refuses values that are right one by one and wrong together.
func (l *loader) crossCheck(c *Config) {
	if c.Linger.Min > c.Linger.Max {
		l.problem(l.keys["linger.min"].origin, "linger.min (%s) must not be above linger.max (%s)", c.Linger.Min, c.Linger.Max)
	}
	if c.Linger.Max > mostLinger {
		l.problem(l.keys["linger.max"].origin, "linger.max (%s) must not be above %s: clients give up on requests that take so long", c.Linger.Max, mostLinger)
	}
	if c.Segment.Size > c.Memory.Produce {
		l.problem(l.keys["memory.produce"].origin, "memory.produce (%s) must hold at least one segment (segment.size is %s)",
			FormatSize(c.Memory.Produce), FormatSize(c.Segment.Size))
	}
	if (c.ObjectStore.AccessKey == "") != (c.ObjectStore.SecretKey == "") {
		l.problem("", "object_store.access_key and object_store.secret_key must be set together")
	}
	l.crossCheckListeners(c)
	l.crossCheckPeer(c)
	l.crossCheckAuthentication(c)
	l.crossCheckAdmin(c)
	l.crossCheckMetastore(c)
	for _, danger := range c.Unsafe() {
		l.problem("", "%s", danger)
	}
	objectsForgotten, metadataForgotten := c.ObjectStore.URL == "memory://", c.Metastore.URL == "memory://"
	switch {
	case objectsForgotten && !metadataForgotten && c.Metastore.URL != "":
		l.problem(l.keys["object_store.url"].origin, "memory:// objects are lost at a restart while %s remembers them; use memory:// for both or a lasting object store",
			RedactURL(c.Metastore.URL))
	case metadataForgotten && !objectsForgotten && c.ObjectStore.URL != "":
		l.warnings = append(l.warnings, "metastore.url is memory://: after a restart nothing knows the objects in "+c.ObjectStore.URL)
	}
	if l.keys["object_store.path_style"].text == "auto" {
		c.ObjectStore.PathStyle = c.ObjectStore.Endpoint != ""
	}
	if c.ObjectStore.Endpoint != "" && c.ObjectStore.Region == "" {
		c.ObjectStore.Region = "us-east-1"
	}
}

func (l *loader) crossCheckAdmin(c *Config) {
	if (c.Admin.Certificate == "") != (c.Admin.Key == "") {
		l.problem("", "admin.certificate and admin.key must be set together")
	}
	if c.Admin.ClientAuthority != "" && c.Admin.Certificate == "" {
		l.problem(l.keys["admin.client_authority"].origin, "admin.client_authority needs admin.certificate and admin.key")
	}
}

func (l *loader) crossCheckPeer(c *Config) {
	files := 0
	for _, f := range []string{c.Peer.Certificate, c.Peer.Key, c.Peer.Authority} {
		if f != "" {
			files++
		}
	}
	switch {
	case files != 0 && files != 3:
		l.problem("", "peer.certificate, peer.key and peer.authority must be set together")
	case files == 3 && c.Peer.Secret != "":
		l.problem("", "peer.secret and peer.certificate are two ways to authenticate brokers; set one of them")
	}
}
