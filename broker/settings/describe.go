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
	ReadOnly  bool // AlterConfigs cannot change it
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
		value := c.defaults[d.Name]
		if v, ok := overrides[d.Name]; ok {
			synonyms = append(synonyms, Synonym{Name: d.Name, Value: &v, Source: FromTopic})
			value = v
		}
		synonyms = append(synonyms, c.aliasSynonyms(d)...)
		source := FromDefault
		if len(synonyms) > 0 {
			source = synonyms[0].Source
		}
		entries = append(entries, Entry{Name: d.Name, Value: &value, Source: source, Default: source == FromDefault,
			Type: d.Type, Doc: d.document(), Synonyms: synonyms})
	}
	return entries
}

// aliasSynonyms returns the broker-level values of a topic setting: those that are set, strongest first, then the
// default of the strongest name, if it has one; Kafka does not tell those of the others.
func (c *Cluster) aliasSynonyms(d *Definition) []Synonym {
	var synonyms []Synonym
	for _, alias := range d.Cluster {
		if v, ok := c.overrides[alias.Name]; ok {
			synonyms = append(synonyms, Synonym{Name: alias.Name, Value: &v, Source: FromCluster})
		}
	}
	if len(d.Cluster) > 0 {
		if s := aliasSetting(d, 0); s.value != nil {
			synonyms = append(synonyms, Synonym{Name: s.Name, Value: s.value, Source: FromDefault})
		}
	}
	return synonyms
}

// DescribeBroker describes all broker-level settings, by name. Extra are values of this broker that are no settings of
// the cluster but that tools ask for, such as node.id, listeners and broker.rack; they are shown as set.
func (c *Cluster) DescribeBroker(extra map[string]string) []Entry {
	var entries []Entry
	for _, name := range ClusterNames() {
		if _, ok := extra[name]; ok {
			continue
		}
		s, _ := lookupCluster(name)
		e := Entry{Name: name, Value: s.value, Source: FromDefault, Default: true, ReadOnly: true, Type: s.Type, Doc: s.document()}
		if v, ok := c.overrides[name]; ok {
			e.Value, e.Source, e.Default = &v, FromCluster, false
			e.Synonyms = append(e.Synonyms, Synonym{Name: name, Value: &v, Source: FromCluster})
		}
		if s.value != nil {
			e.Synonyms = append(e.Synonyms, Synonym{Name: name, Value: s.value, Source: FromDefault})
		}
		entries = append(entries, e)
	}
	for name, value := range maps.All(extra) {
		entries = append(entries, ReadOnly(name, value))
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

// ReadOnly is the entry of what a broker shows as set and nobody can change.
func ReadOnly(name, value string) Entry {
	return Entry{Name: name, Value: &value, Source: FromCluster, ReadOnly: true, Type: String,
		Synonyms: []Synonym{{Name: name, Value: &value, Source: FromCluster}}}
}

func (d *Definition) document() string {
	if d.Note == "" {
		return d.Doc
	}
	return d.Doc + " " + d.Note
}
