package metastore

// Listener is where clients reach a broker by one of its listeners.
type Listener struct {
	Name     string // as in Kafka, upper case
	Host     string
	Port     int32
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
}

// plaintext is the name and the protocol of the listener of brokers that tell of none.
const plaintext = "PLAINTEXT"

// Listener returns the listener of a name. A broker that tells of none has its Host and Port as PLAINTEXT: it is of a version
// from before there were others.
func (b *Broker) Listener(name string) (Listener, bool) {
	if len(b.Listeners) == 0 {
		return Listener{Name: plaintext, Host: b.Host, Port: b.Port, Protocol: plaintext}, name == plaintext
	}
	for _, l := range b.Listeners {
		if l.Name == name {
			return l, true
		}
	}
	return Listener{}, false
}
