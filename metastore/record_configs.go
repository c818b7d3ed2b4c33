package metastore

import (
	"encoding/binary"
	"maps"
)

// ConfigKind says what the overrides of a ConfigResource are about, numbered as Kafka's resource types.
type ConfigKind byte

// What has overrides in the commit log beside topics, which have their own.
const (
	BrokerConfig        ConfigKind = 4  // of the broker that has the name for its node id; "" is all brokers
	ClientMetricsConfig ConfigKind = 16 // of a subscription to clients' metrics
	GroupConfig         ConfigKind = 32 // of a group, whether there is one or not
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

// configOverrides are all overrides there are. They never change: a change makes others, so that they can be read
// without a lock, and encoded while the state moves on. Changes are rare and overrides few.
type configOverrides struct {
	of    map[ConfigResource]map[string]string
	bytes int // of all names and values
}

func (o *configOverrides) with(changes []ConfigChange) *configOverrides {
	next := &configOverrides{of: make(map[ConfigResource]map[string]string), bytes: o.size()}
	if o != nil {
		maps.Copy(next.of, o.of)
	}
	for _, c := range changes {
		is := maps.Clone(next.of[c.ConfigResource])
		if is == nil {
			is = make(map[string]string)
		}
		next.bytes -= bytesOf(c.ConfigResource, is)
		maps.Copy(is, c.Set)
		for _, name := range c.Unset {
			delete(is, name)
		}
		next.bytes += bytesOf(c.ConfigResource, is)
		if len(is) == 0 {
			delete(next.of, c.ConfigResource)
		} else {
			next.of[c.ConfigResource] = is
		}
	}
	return next
}

func bytesOf(r ConfigResource, overrides map[string]string) int {
	n := 0
	for name, value := range overrides {
		n += len(name) + len(value)
	}
	if n > 0 {
		n += len(r.Name)
	}
	return n
}

// The methods take nil for none at all.

func (o *configOverrides) size() int {
	if o == nil {
		return 0
	}
	return o.bytes
}

func (o *configOverrides) empty() bool { return o == nil || len(o.of) == 0 }

func (o *configOverrides) on(of ConfigResource) map[string]string {
	if o == nil {
		return nil
	}
	return o.of[of]
}
