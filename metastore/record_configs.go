package metastore

import (
	"encoding/binary"
	"iter"
	"maps"
)

// ConfigKind says what the overrides of a ConfigResource are about. Below 64 they are numbered as Kafka's resource types.
type ConfigKind byte

// What has overrides in the commit log beside topics, which have their own.
const (
	BrokerConfig        ConfigKind = 4  // of the broker that has the name for its node id; "" is all brokers
	ClientMetricsConfig ConfigKind = 16 // of a subscription to clients' metrics
	GroupConfig         ConfigKind = 32 // of a group, whether there is one or not

	// Who gets in, and how much they may take. Package metastore does not look into names and values.
	AccessRules  ConfigKind = 64 // the ACLs of a resource pattern
	Credentials  ConfigKind = 65 // of a user, by mechanism; never shown
	ClientQuotas ConfigKind = 66 // of a user, client id or address
)

// ConfigResource names what overrides are for.
type ConfigResource struct {
	Kind ConfigKind
	Name string
}

// ConfigChange sets and removes overrides of one resource.
type ConfigChange struct {
	ConfigResource
	Set   map[string]string
	Unset []string
}

// alterConfigs changes overrides of resources. A resource that has none is not there.
type alterConfigs struct{ changes []ConfigChange }

func (c alterConfigs) kind() kind { return kindAlterConfigs }

func (c alterConfigs) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.changes)))
	for _, change := range c.changes {
		b = append(b, byte(change.Kind))
		b = appendString(b, change.Name)
		b = appendStringMap(b, change.Set)
		b = appendStrings(b, change.Unset)
	}
	return b
}

func decodeAlterConfigs(d *decoder) alterConfigs {
	n := d.count(4, "config changes")
	if n == 0 {
		return alterConfigs{}
	}
	c := alterConfigs{changes: make([]ConfigChange, n)}
	for i := range c.changes {
		c.changes[i] = ConfigChange{
			ConfigResource: ConfigResource{Kind: ConfigKind(d.byte()), Name: d.string()},
			Set:            d.stringMap(), Unset: d.strings(),
		}
	}
	return c
}

func (c alterConfigs) apply(s *State, _ int64, _ func(TopicPartition)) {
	s.configs = s.configs.with(c.changes)
}

// configOverrides are all overrides there are, by kind. They never change: a change makes others, so that they can be read
// without a lock, and encoded while the state moves on.
type configOverrides struct {
	sets map[ConfigKind]*ConfigSet // none is empty
}

// ConfigSet is the overrides of all resources of a kind as of some moment. It never changes, and nothing that its methods
// return is to be modified. nil is a set of none.
type ConfigSet struct {
	of    map[string]map[string]string
	bytes int // of all names and values
}

// Len is the number of resources.
func (s *ConfigSet) Len() int {
	if s == nil {
		return 0
	}
	return len(s.of)
}

// On returns the overrides of a resource, nil if it has none.
func (s *ConfigSet) On(name string) map[string]string {
	if s == nil {
		return nil
	}
	return s.of[name]
}

// All goes over the resources, in no order.
func (s *ConfigSet) All() iter.Seq2[string, map[string]string] {
	if s == nil {
		return func(func(string, map[string]string) bool) {}
	}
	return maps.All(s.of)
}

func (s *ConfigSet) size() int {
	if s == nil {
		return 0
	}
	return s.bytes
}

func (o *configOverrides) with(changes []ConfigChange) *configOverrides {
	next := &configOverrides{sets: make(map[ConfigKind]*ConfigSet)}
	if o != nil {
		maps.Copy(next.sets, o.sets)
	}
	copied := make(map[ConfigKind]bool)
	for _, c := range changes {
		if !copied[c.Kind] {
			next.sets[c.Kind] = next.sets[c.Kind].copied()
			copied[c.Kind] = true
		}
		next.sets[c.Kind].change(&c)
	}
	for kind := range copied {
		if next.sets[kind].Len() == 0 {
			delete(next.sets, kind)
		}
	}
	return next
}

func (s *ConfigSet) copied() *ConfigSet {
	next := &ConfigSet{of: make(map[string]map[string]string, s.Len()+1), bytes: s.size()}
	if s != nil {
		maps.Copy(next.of, s.of)
	}
	return next
}

// change is for a set that is being made.
func (s *ConfigSet) change(c *ConfigChange) {
	is := maps.Clone(s.of[c.Name])
	if is == nil {
		is = make(map[string]string)
	}
	s.bytes -= bytesOf(c.Name, is)
	maps.Copy(is, c.Set)
	for _, name := range c.Unset {
		delete(is, name)
	}
	s.bytes += bytesOf(c.Name, is)
	if len(is) == 0 {
		delete(s.of, c.Name)
	} else {
		s.of[c.Name] = is
	}
}

func bytesOf(resource string, overrides map[string]string) int {
	n := 0
	for name, value := range overrides {
		n += len(name) + len(value)
	}
	if n > 0 {
		n += len(resource)
	}
	return n
}

// The methods take nil for none at all.

func (o *configOverrides) kind(kind ConfigKind) *ConfigSet {
	if o == nil {
		return nil
	}
	return o.sets[kind]
}

func (o *configOverrides) size() (bytes int) {
	if o == nil {
		return 0
	}
	for _, s := range o.sets {
		bytes += s.bytes
	}
	return bytes
}

func (o *configOverrides) empty() bool { return o == nil || len(o.sets) == 0 }

func (o *configOverrides) on(of ConfigResource) map[string]string { return o.kind(of.Kind).On(of.Name) }
