package config

import "strings"

// listenKeys are the one listener of a broker that needs no more.
var listenKeys = []Key{
	{Name: "listen", Kind: address, Default: "0.0.0.0:9092",
		Doc: "Address on which Kafka clients are served, if there is one listener; `listeners` are for more.",
		set: func(c *Config, v value) { c.Listen = v.text }},
	{Name: "advertise", Kind: reachableAddress,
		Doc: "Address that clients are told to connect to. Unset: the listen address, with the machine's host name in place of a wildcard. `auto` is the address that the platform gave the task, pod or instance, with the port of listen; `auto:9092` has another port. `auto:name` is the name in DNS of that address, which a certificate can name and clients must be able to resolve: of tasks and instances, as ip-10-0-2-61.eu-central-1.compute.internal; pods have none. As with zone, `auto:ecs`, `auto:kubernetes` and `auto:ec2`, also with `:name` and `:9092` behind it, say whom to ask.",
		set: func(c *Config, v value) { c.Advertise = v.text }},
	{Name: "protocol", Kind: protocol, Default: "PLAINTEXT",
		Doc: "Security protocol of the one listener, which is also its name for clients. SSL and SASL_SSL need tls.certificate.",
		set: func(c *Config, v value) { c.Protocol = v.text }},
}

// tlsKeys are about the listeners whose protocol is SSL or SASL_SSL.
var tlsKeys = []Key{
	{Name: "tls.certificate", Kind: text,
		Doc: "File with the certificate that is shown to clients, and those between it and its authority behind it; PEM. It is looked at every few seconds: a new one is for connections that come after, and one that cannot be used is told of in the log while the old one stays.",
		set: func(c *Config, v value) { c.TLS.Certificate = v.text }},
	{Name: "tls.key", Kind: text,
		Doc: "File with the private key of tls.certificate; PEM, not encrypted.",
		set: func(c *Config, v value) { c.TLS.Key = v.text }},
	{Name: "tls.client_authority", Kind: text,
		Doc: "File with the certificates of the authorities that sign those of clients; PEM.",
		set: func(c *Config, v value) { c.TLS.ClientAuthority = v.text }},
	{Name: "tls.client_auth", Kind: clientAuth, Default: "none",
		Doc: "Whether clients show a certificate: `requested` takes those that have none, too, as `User:ANONYMOUS` if SASL says nothing else. One that tls.client_authority did not sign is refused with both.",
		set: func(c *Config, v value) { c.TLS.ClientAuth = v.text }},
	{Name: "tls.principal_rules", Kind: text, Default: "DEFAULT",
		Doc: "How the distinguished name of a client's certificate becomes the name of its principal, as Kafka's `ssl.principal.mapping.rules`: `RULE:pattern/replacement/` with L or U behind it for lower or upper case, separated by commas; the first whose pattern is all of the name counts. DEFAULT is the name as it is. A name that no rule takes is refused. Patterns are RE2: without looking around and back references.",
		set: func(c *Config, v value) { c.TLS.PrincipalRules = v.text }},
}

// ListenerKey is a key below listeners.NAME.
type ListenerKey struct {
	Name     string // "listen"
	Kind     Kind
	Required bool
	Doc      string
	set      func(l *Listener, v value)
}

// Env is the environment variable of the key of a listener.
func (k ListenerKey) Env(listener string) string {
	return listenersEnv + strings.ToUpper(strings.ReplaceAll(listener, "-", "_")+"_"+k.Name)
}

const (
	// listenersKey is the section of the listeners, by their names.
	listenersKey = "listeners"
	listenersEnv = envPrefix + "LISTENERS_"
	// ListenerFlag is the repeatable flag that sets a key of a listener, as name.key=value.
	ListenerFlag = "listener"
)

// ListenerKeys returns the keys of each listener, in the order of the documentation.
func ListenerKeys() []ListenerKey { return append([]ListenerKey(nil), listenerKeys...) }

var listenerKeys = []ListenerKey{
	{Name: "listen", Kind: address, Required: true,
		Doc: "Address on which clients of this listener are served. `listeners` stand in place of listen, advertise and protocol. Their names are upper case for clients, as `INTERNAL`, and the same on all brokers: who comes by one is told of the brokers that have it, and where it is there. Required.",
		set: func(l *Listener, v value) { l.Listen = v.text }},
	{Name: "advertise", Kind: reachableAddress,
		Doc: "Address that clients of this listener are told to connect to. Unset: as for advertise.",
		set: func(l *Listener, v value) { l.Advertise = v.text }},
	{Name: "protocol", Kind: protocol, Required: true,
		Doc: "Security protocol. Required.",
		set: func(l *Listener, v value) { l.Protocol = v.text }},
	{Name: "zone", Kind: zoneName,
		Doc: "Zone of the clients of this listener of which nothing else tells it, such as behind a load balancer of one zone, or `auto` as for zone. Unset: client.zone.",
		set: func(l *Listener, v value) { l.Zone = v.text }},
	{Name: "client_auth", Kind: optional{clientAuth},
		Doc: "tls.client_auth of this listener.",
		set: func(l *Listener, v value) { l.ClientAuth = v.text }},
	{Name: "max_connections", Kind: number{0, 1 << 31},
		Doc: "Connections of this listener at most, beside `max.connections` of all. 0: no limit of its own.",
		set: func(l *Listener, v value) { l.MaxConnections = int(v.number) }},
}
