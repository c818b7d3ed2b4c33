// Package settings knows Kafka's configuration names: the broker-level ones that make a cluster's defaults, and those of topics,
// groups and subscriptions to clients' metrics. Live is what is in force while clients change them.
//
// Tables (topic_table.go, broker_table.go, group_table.go, metrics_table.go) hold everything that is known about a name: its type, default, valid
// values, what it means and what Runnel does about it. Resolution, validation, DescribeConfigs and docs/config.md are
// made from them. A name that is not in the tables is refused, so that a setting is never accepted and forgotten.
package settings

// Type is the type of a setting's value, numbered as in DescribeConfigs.
type Type int8

// The types of KIP-569.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

func (t Type) String() string {
	switch t {
	case Boolean:
		return "boolean"
	case Int:
		return "int"
	case Short:
		return "short"
	case Long:
		return "long"
	case Double:
		return "double"
	case List:
		return "list"
	case Class:
		return "class"
	case Password:
		return "password"
	default:
		return "string"
	}
}

// Source tells where a value comes from, numbered as in DescribeConfigs.
type Source int8

// Where values come from.
const (
	FromTopic         Source = 1 // set on the topic
	FromBroker        Source = 2 // set on this broker while it ran
	FromBrokers       Source = 3 // set for all brokers while they ran
	FromCluster       Source = 4 // set in the cluster defaults of the broker's configuration
	FromDefault       Source = 5 // nobody set it
	FromLogger        Source = 6 // the level of a logger
	FromClientMetrics Source = 7 // set on the subscription to clients' metrics
	FromGroup         Source = 8 // set on the group
)

// Support tells what setting a value does.
type Support int8

const (
	// Acts: Runnel does what Kafka does.
	Acts Support = iota
	// Stored: kept and shown, without effect, because a diskless broker has nothing that it could change, or because
	// the machinery is not there yet; the definition's note says which. Either way no data is lost by it.
	Stored
	// Restricted: only the values that Runnel honors are taken, others are refused.
	Restricted
)

func (s Support) String() string {
	switch s {
	case Stored:
		return "stored"
	case Restricted:
		return "restricted"
	default:
		return "acts"
	}
}

// Definition is one row of a table.
type Definition struct {
	Name    string
	Type    Type
	Default string // Kafka 4.2's
	Check   Check  // of values that have the right type; nil takes all
	Support Support
	Doc     string // one sentence: what it means
	Note    string // what Runnel does differently; "" if nothing
	Dynamic bool   // of broker-level settings: clients can change it while brokers run, as in Kafka
	// Cluster names the broker-level settings that give a topic setting its default, the strongest first.
	Cluster []Alias
}

// Alias is a broker-level name for a topic setting.
type Alias struct {
	Name   string
	Factor int64 // of the alias's unit in that of the topic setting: 3600000 for hours
}

// Topics returns the topic settings, by name.
func Topics() []Definition { return append([]Definition(nil), topicTable...) }

// LookupTopic returns the definition of a topic setting.
func LookupTopic(name string) (Definition, bool) { return lookup(topicTable, name) }

func lookup(table []Definition, name string) (Definition, bool) {
	for i := range table {
		if table[i].Name == name {
			return table[i], true
		}
	}
	return Definition{}, false
}

func namesOf(table []Definition) []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].Name
	}
	return names
}

// lookupCluster returns the definition of a broker-level setting: a row of the broker table, or one made for an alias.
func lookupCluster(name string) (clusterSetting, bool) {
	for i := range brokerTable {
		if brokerTable[i].Name == name {
			return clusterSetting{Definition: brokerTable[i], value: stringPointer(brokerTable[i].Default)}, true
		}
	}
	for i := range topicTable {
		for j, alias := range topicTable[i].Cluster {
			if alias.Name == name {
				return aliasSetting(&topicTable[i], j), true
			}
		}
	}
	return listenerSetting(name)
}

func stringPointer(s string) *string { return &s }
