package settings

import (
	"maps"
	"slices"
	"strings"
)

// Entry is what DescribeConfigs tells of one setting.
type Entry struct {
	Name      string
	Value     *string // nil if it has none, or if it is sensitive
	Source    Source
	Default   bool // nobody set it
	ReadOnly  bool // AlterConfigs and IncrementalAlterConfigs cannot change it
	Sensitive bool
	Type      Type
	Doc       string
	Synonyms  []Synonym // where the value could come from, the one in force first
}

// Synonym is a value that is in force, or would be if those before it were not set.
type Synonym struct {
	Name   string
	Value  *string
	Source Source
}

// DescribeTopic describes all settings of a topic that has the overrides, by name.
func (c *Cluster) DescribeTopic(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(topicTable))
	for i := range topicTable {
		d := &topicTable[i]
		var synonyms []Synonym
		if v, ok := overrides[d.Name]; ok {
			synonyms = append(synonyms, Synonym{Name: d.Name, Value: &v, Source: FromTopic})
		}
		e := entryOf(d, append(synonyms, c.aliasSynonyms(d)...))
		value := c.defaults[d.Name] // in the topic setting's unit
		if v, ok := overrides[d.Name]; ok {
			value = v
		}
		e.Value = &value
		entries = append(entries, e)
	}
	return entries
}

// entryOf is what its synonyms make of a setting: the first is in force.
func entryOf(d *Definition, synonyms []Synonym) Entry {
	e := Entry{Name: d.Name, Source: FromDefault, Type: d.Type, Doc: d.document(), Synonyms: synonyms}
	if len(synonyms) > 0 {
		e.Value, e.Source = synonyms[0].Value, synonyms[0].Source
	}
	e.Default = e.Source == FromDefault
	return e
}

// aliasSynonyms returns the broker-level values of a topic setting: those that are set, strongest first, then the
// default of the strongest name, if it has one; Kafka does not tell those of the others.
func (c *Cluster) aliasSynonyms(d *Definition) []Synonym {
	synonyms := c.setSynonyms(d.Cluster)
	if len(d.Cluster) > 0 {
		if s := aliasSetting(d, 0); s.value != nil {
			synonyms = append(synonyms, Synonym{Name: s.Name, Value: s.value, Source: FromDefault})
		}
	}
	return synonyms
}

// setSynonyms returns the values that somebody set for settings of the same meaning, the strongest first: for this
// broker, for all, in the configuration.
func (c *Cluster) setSynonyms(aliases []Alias) (synonyms []Synonym) {
	for _, l := range c.layers() {
		for _, alias := range aliases {
			if v, ok := l.values[alias.Name]; ok {
				synonyms = append(synonyms, Synonym{Name: alias.Name, Value: &v, Source: l.source})
			}
		}
	}
	return synonyms
}

// synonyms returns the values of a broker-level setting and of those that mean the same, from the first on that is its
// own, as Kafka does.
func (c *Cluster) synonyms(name string) []Synonym {
	aliases, defaults := same(name), []Synonym(nil)
	if topic := topicOf(name); topic != nil {
		aliases = topic.Cluster
	}
	for _, alias := range aliases {
		if s, _ := lookupCluster(alias.Name); s.value != nil {
			defaults = append(defaults, Synonym{Name: alias.Name, Value: s.value, Source: FromDefault})
		}
	}
	all := append(c.setSynonyms(aliases), defaults...)
	for i := range all {
		if all[i].Name == name {
			return all[i:]
		}
	}
	return nil
}

// topicOf is the topic setting that a broker-level one is a default of, or nil.
func topicOf(name string) *Definition {
	for i := range topicTable {
		for _, alias := range topicTable[i].Cluster {
			if alias.Name == name {
				return &topicTable[i]
			}
		}
	}
	return nil
}

// DescribeBroker describes all broker-level settings, by name. Extra are values of this broker that are no settings of
// the cluster but that tools ask for, such as node.id, listeners and broker.rack; they are shown as set.
func (c *Cluster) DescribeBroker(extra map[string]string) []Entry {
	var entries []Entry
	names := ClusterNames()
	for name := range c.overrides {
		if _, ok := listenerSetting(name); ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if _, ok := extra[name]; ok {
			continue
		}
		s, _ := lookupCluster(name)
		e := entryOf(&s.Definition, c.synonyms(name))
		e.ReadOnly = !s.Dynamic
		entries = append(entries, e)
	}
	for name, value := range maps.All(extra) {
		entries = append(entries, ReadOnly(name, value))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// DescribeBrokers describes what is set for all brokers while they run, by name.
func (c *Cluster) DescribeBrokers() []Entry {
	var entries []Entry
	for _, name := range slices.Sorted(maps.Keys(c.brokers)) {
		s, _ := lookupCluster(name)
		value := c.brokers[name]
		entries = append(entries, entryOf(&s.Definition, []Synonym{{name, &value, FromBrokers}}))
	}
	return entries
}

// ReadOnly is the entry of what a broker shows as set and nobody can change.
func ReadOnly(name, value string) Entry {
	return Entry{Name: name, Value: &value, Source: FromCluster, ReadOnly: true, Type: String,
		Synonyms: []Synonym{{Name: name, Value: &value, Source: FromCluster}}}
}

// NoteMark stands in the documentation of a setting before what Runnel does differently.
const NoteMark = " Runnel: "

func (d *Definition) document() string {
	if d.Note == "" {
		return d.Doc
	}
	return d.Doc + NoteMark + d.Note
}
