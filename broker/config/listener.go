package config

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"
)

// Listener is an address on which clients are served, and how.
type Listener struct {
	Name           string // as clients know it: upper case, and the same on all brokers
	Listen         string // host:port
	Advertise      string // host:port for clients; "": derived by Advertised
	Protocol       string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Zone           string // of clients of which nothing else tells it; "": Client.Zone
	ClientAuth     string // none, requested or required, with TLS
	MaxConnections int    // 0: no limit of its own
}

// TLS are the files of the listeners with TLS, and what is made of the certificates of clients.
type TLS struct {
	Certificate     string // PEM files
	Key             string
	ClientAuthority string
	ClientAuth      string // none, requested or required
	PrincipalRules  string
}

// The security protocols.
const (
	Plaintext     = "PLAINTEXT"
	SSL           = "SSL"
	SASLPlaintext = "SASL_PLAINTEXT"
	SASLSSL       = "SASL_SSL"
)

// What is asked of clients with TLS.
const (
	ClientAuthNone      = "none"
	ClientAuthRequested = "requested"
	ClientAuthRequired  = "required"
)

var (
	protocol   = words{Plaintext, SSL, SASLPlaintext, SASLSSL}
	clientAuth = words{ClientAuthNone, ClientAuthRequested, ClientAuthRequired}
)

// HasTLS tells whether connections are encrypted.
func (l *Listener) HasTLS() bool { return l.Protocol == SSL || l.Protocol == SASLSSL }

// HasSASL tells whether clients authenticate by SASL.
func (l *Listener) HasSASL() bool { return l.Protocol == SASLPlaintext || l.Protocol == SASLSSL }

// Authenticates tells whether nobody is served who has not proved who he is.
func (l *Listener) Authenticates() bool {
	return l.HasSASL() || l.HasTLS() && l.ClientAuth == ClientAuthRequired
}

// Loopback tells whether the listener can be reached from this machine alone.
func (l *Listener) Loopback() bool { return loopback(l.Listen) }

// Advertised returns the address that clients are told, for a listener that is bound to an address: Advertise, or that
// address, with the machine's host name in place of a wildcard.
func (l *Listener) Advertised(bound net.Addr) (host string, port int32, err error) {
	return advertised(l.Advertise, bound)
}

// loopback tells whether an address can be reached from this machine alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	return loopbackHost(host)
}

func loopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

const (
	// listenerName is what a listener may be called; longestName bounds it, as brokers tell it each other.
	listenerName = `[A-Za-z0-9_-]+`
	longestName  = 100
)

var validListener = regexp.MustCompile(`^` + listenerName + `$`)

// listenerSettings are the values of the keys of listeners, by the listener's name and the key's.
type listenerSettings struct {
	order  []string // names, as they were met first
	spelt  map[string]string
	values map[string]map[string]setting
}

func newListenerSettings() *listenerSettings {
	return &listenerSettings{spelt: make(map[string]string), values: make(map[string]map[string]setting)}
}

// set keeps a value under the listener's name in upper case. The later one counts.
func (s *listenerSettings) set(listener, key string, v setting) {
	s.mention(listener)[key] = v
}

func (s *listenerSettings) mention(listener string) map[string]setting {
	name := strings.ToUpper(listener)
	if s.values[name] == nil {
		s.order = append(s.order, name)
		s.spelt[name] = listener
		s.values[name] = make(map[string]setting)
	}
	return s.values[name]
}

// path is the name of a listener's key in the file.
func (s *listenerSettings) path(listener, key string) string {
	return listenersKey + "." + s.spelt[listener] + "." + key
}

// named finds the listener that a variable means, in whose name hyphens have become underscores.
func (s *listenerSettings) named(variable string) string {
	for _, name := range s.order {
		if strings.ReplaceAll(name, "-", "_") == variable {
			return name
		}
	}
	return variable
}

// listenerSetting takes one value of a key "NAME.key" from a flag or the file.
func (l *loader) listenerSetting(path string, v setting) {
	name, key, ok := strings.Cut(path, ".")
	switch {
	case !ok:
		l.problem(v.origin, "%q is not of the form name.key", path)
	case !l.validListener(v.origin, name):
	case !slices.ContainsFunc(listenerKeys, func(k ListenerKey) bool { return k.Name == key }):
		l.problem(v.origin, "unknown key %q of listener %s: there are %s", key, name, listenerKeyNames())
	default:
		l.listeners.set(name, key, v)
	}
}

func (l *loader) validListener(origin, name string) bool {
	if !validListener.MatchString(name) || len(name) > longestName {
		l.problem(origin, "%q cannot be the name of a listener: it has letters, digits, _ and -, %d at most", name, longestName)
		return false
	}
	return true
}

func listenerKeyNames() string {
	var names []string
	for _, k := range listenerKeys {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// listenerEnv takes a variable of a listener's key: RUNNEL_LISTENERS_INTERNAL_LISTEN.
func (l *loader) listenerEnv(variable, text string) {
	rest := strings.TrimPrefix(variable, listenersEnv)
	var name, key string
	for _, k := range listenerKeys { // the longest that fits: the name may end in a key's
		if before, ok := strings.CutSuffix(rest, "_"+strings.ToUpper(k.Name)); ok && len(k.Name) > len(key) {
			name, key = before, k.Name
		}
	}
	if key == "" || !validListener.MatchString(name) || name != strings.ToUpper(name) {
		l.problem(variable, "unknown variable: that of a listener is %sNAME_ and one of %s in upper case", listenersEnv, listenerKeyNames())
		return
	}
	l.listenerSetting(l.listeners.named(name)+"."+key, setting{text: text, origin: variable})
}

// isListenKey tells whether a key is about the only listener.
func isListenKey(name string) bool {
	return slices.ContainsFunc(listenKeys, func(k Key) bool { return k.Name == name })
}

// resolveListeners makes Config.Listeners of the keys of each, or the only one of listen, advertise and protocol.
func (l *loader) resolveListeners(c *Config) {
	if len(l.listeners.order) == 0 {
		c.Listeners = []Listener{{
			Name: c.Protocol, Listen: c.Listen, Advertise: c.Advertise, Protocol: c.Protocol, ClientAuth: c.TLS.ClientAuth,
		}}
		return
	}
	for _, k := range listenKeys {
		if s := l.keys[k.Name]; s.origin != byDefault {
			l.problem(s.origin, "%s is that of the only listener; beside %s it has no meaning", k.Name, listenersKey)
		}
	}
	for _, name := range l.listeners.order {
		listener := Listener{Name: name}
		for _, k := range listenerKeys {
			l.resolveListenerKey(&listener, k)
		}
		listener.ClientAuth = cmp.Or(listener.ClientAuth, c.TLS.ClientAuth)
		c.Listeners = append(c.Listeners, listener)
	}
}

func (l *loader) resolveListenerKey(listener *Listener, k ListenerKey) {
	path := l.listeners.path(listener.Name, k.Name)
	s, given := l.listeners.values[listener.Name][k.Name]
	switch {
	case s.text == "" && k.Required:
		l.problem(s.origin, "%s is required: set it in the file, as %s or as --%s %s.%s=…",
			path, k.Env(listener.Name), ListenerFlag, l.listeners.spelt[listener.Name], k.Name)
		return
	case !given || s.text == "":
		return
	}
	v, err := k.Kind.parse(s.text)
	if err != nil {
		l.problem(s.origin, "invalid value %q for %s: %v", s.text, path, err)
		return
	}
	k.set(listener, v)
}

// crossCheckListeners refuses listeners that get in each other's way, or lack what their protocol needs.
func (l *loader) crossCheckListeners(c *Config) {
	for i := range c.Listeners {
		listener := &c.Listeners[i]
		for j := range i {
			if sameAddress(c.Listeners[j].Listen, listener.Listen) {
				l.problem(l.listenOrigin(listener.Name), "listeners %s and %s have one address: %s and %s",
					c.Listeners[j].Name, listener.Name, c.Listeners[j].Listen, listener.Listen)
			}
		}
		if own := l.listeners.values[listener.Name]["client_auth"]; own.text != "" && own.text != ClientAuthNone && !listener.HasTLS() {
			l.problem(own.origin, "client_auth of listener %s needs protocol SSL or SASL_SSL", listener.Name)
		}
	}
	l.crossCheckTLS(c)
}

func (l *loader) crossCheckTLS(c *Config) {
	if (c.TLS.Certificate == "") != (c.TLS.Key == "") {
		l.problem("", "tls.certificate and tls.key must be set together")
	}
	used := false
	for i := range c.Listeners {
		listener := &c.Listeners[i]
		if !listener.HasTLS() {
			continue
		}
		used = true
		if c.TLS.Certificate == "" {
			l.problem(l.listenOrigin(listener.Name), "listener %s has protocol %s, which needs tls.certificate and tls.key", listener.Name, listener.Protocol)
		}
		if listener.ClientAuth != ClientAuthNone && c.TLS.ClientAuthority == "" {
			l.problem(l.listenOrigin(listener.Name), "certificates are %s of the clients of listener %s, which needs tls.client_authority",
				listener.ClientAuth, listener.Name)
		}
	}
	if !used && c.TLS.Certificate != "" {
		l.warnings = append(l.warnings, "tls.certificate is set, but no listener has protocol SSL or SASL_SSL")
	}
}

// listenOrigin is where the address of a listener comes from.
func (l *loader) listenOrigin(name string) string {
	if s, ok := l.listeners.values[name]["listen"]; ok {
		return s.origin
	}
	if s := l.keys["protocol"]; s.origin != byDefault {
		return s.origin
	}
	return ""
}

// sameAddress tells whether a machine cannot listen on both. Port 0 is another each time.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return wildcard(hostA) || wildcard(hostB) || strings.EqualFold(hostA, hostB)
}

func wildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}
