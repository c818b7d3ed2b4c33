// Package quota limits what clients take: bytes of records, time of processors, changes of topics, connections.
//
// Quotas are Kafka's: of users, client ids and addresses, by the precedence of its ClientQuotaManager, measured in its
// windows (KIP-13, KIP-55, KIP-124, KIP-599, KIP-612). Everything takes the time as an argument. What a client took lies
// beside that of no other: two clients contend for a lock only if they share a quota.
package quota

// Kind is what a quota limits.
type Kind uint8

// The kinds of quotas.
const (
	Produce    Kind = iota // bytes per second of Produce requests
	Fetch                  // bytes per second of answers to Fetch
	Request                // percent of one processor
	Mutation               // partitions created or deleted, per second
	Connection             // connections per second of an address
	kinds
)

// String is Kafka's name of the key by which quotas of the kind are set.
func (k Kind) String() string { return keys[k].name }

// keys are the names of quotas, and which values they take.
var keys = [kinds]struct {
	name  string
	whole bool    // no fractions
	most  float64 // 0: any
}{
	Produce:    {"producer_byte_rate", true, 1 << 63},
	Fetch:      {"consumer_byte_rate", true, 1 << 63},
	Request:    {"request_percentage", false, 0},
	Mutation:   {"controller_mutation_rate", false, 0},
	Connection: {"connection_creation_rate", true, 1<<31 - 1},
}

// KindOf finds the kind that a key of Kafka's names.
func KindOf(key string) (Kind, bool) {
	for k := range keys {
		if keys[k].name == key {
			return Kind(k), true
		}
	}
	return 0, false
}

// Client is whose quotas are looked for.
type Client struct {
	User string // the principal's name, without its type
	ID   string // client id
}
