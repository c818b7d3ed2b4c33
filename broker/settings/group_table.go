package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/metastore"
)

// groupSetting is a setting of a group and the broker-level settings that give its default and bounds.
type groupSetting struct {
	Definition
	from, min, max string
}

// groupTable holds the settings of groups (KIP-848), sorted by name. Names and types are those of Kafka 4.3.
var groupTable = []groupSetting{
	{Definition{Name: assignmentInterval, Type: Int, Check: atLeast(0),
		Doc: "How long after an assignment of a group of the consumer protocol the next one is made at the earliest."},
		"group.consumer.assignment.interval.ms", "group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{Definition{Name: heartbeatInterval, Type: Int, Check: atLeast(1),
		Doc: "How often members of a group of the consumer protocol are told to send a heartbeat."},
		"group.consumer.heartbeat.interval.ms", "group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{Definition{Name: sessionTimeout, Type: Int, Check: atLeast(1),
		Doc: "After what silence a member is removed from a group of the consumer protocol."},
		"group.consumer.session.timeout.ms", "group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
}

const (
	assignmentInterval = "consumer.assignment.interval.ms"
	heartbeatInterval  = "consumer.heartbeat.interval.ms"
	sessionTimeout     = "consumer.session.timeout.ms"
)

// lookupGroup returns the definition of a group's setting.
func lookupGroup(name string) (*groupSetting, bool) {
	for i := range groupTable {
		if groupTable[i].Name == name {
			return &groupTable[i], true
		}
	}
	return nil, false
}

// ConsumerTimes are those of one group of the consumer protocol.
type ConsumerTimes struct {
	HeartbeatInterval  time.Duration // between heartbeats of a member
	SessionTimeout     time.Duration // the silence after which a member is removed
	AssignmentInterval time.Duration // between assignments, at least
}

// ConsumerTimes returns the times of a group: its own values, if it has any, within the bounds that the brokers have now. It costs
// little without any.
func (l *Live) ConsumerTimes(groupID string) ConsumerTimes {
	c := l.Load()
	if l.overrides != nil {
		if own := l.overrides.Configs(metastore.ConfigResource{Kind: metastore.GroupConfig, Name: groupID}); len(own) > 0 {
			return c.consumerTimes(own)
		}
	}
	return c.group
}

func (c *Cluster) consumerTimes(overrides map[string]string) ConsumerTimes {
	return ConsumerTimes{
		HeartbeatInterval: c.groupTime(heartbeatInterval, overrides), SessionTimeout: c.groupTime(sessionTimeout, overrides),
		AssignmentInterval: c.groupTime(assignmentInterval, overrides),
	}
}

func (c *Cluster) groupTime(name string, overrides map[string]string) time.Duration {
	s, _ := lookupGroup(name)
	value := c.Int(s.from)
	if v, ok := overrides[name]; ok && s.checkValue(v) == nil {
		value = min(max(parseLong(v), c.Int(s.min)), c.Int(s.max))
	}
	return time.Duration(value) * time.Millisecond
}

// ValidateGroup tells whether a group may have the overrides: as ValidateTopic.
func (c *Cluster) ValidateGroup(overrides map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		s, ok := lookupGroup(name)
		switch {
		case !ok && (strings.HasPrefix(name, "share.") || strings.HasPrefix(name, "streams.")):
			kind, _, _ := strings.Cut(name, ".")
			return &ValueError{Name: name, Value: overrides[name], Reason: "there are no " + kind + " groups here"}
		case !ok:
			return &UnknownError{Name: name, Suggestion: Nearest(name, groupNames())}
		}
		value := overrides[name]
		if err := s.checkValue(value); err != nil {
			return err
		}
		if n := parseLong(value); n < c.Int(s.min) || n > c.Int(s.max) {
			return &ValueError{Name: name, Value: value,
				Reason: fmt.Sprintf("must be between %s (%d) and %s (%d)", s.min, c.Int(s.min), s.max, c.Int(s.max))}
		}
	}
	if c.groupTime(heartbeatInterval, overrides) >= c.groupTime(sessionTimeout, overrides) {
		return &ValueError{Name: heartbeatInterval, Value: overrides[heartbeatInterval], Reason: "must be less than " + sessionTimeout}
	}
	return nil
}

func groupNames() []string {
	names := make([]string, len(groupTable))
	for i := range groupTable {
		names[i] = groupTable[i].Name
	}
	return names
}

// DescribeGroup describes all settings of a group that has the overrides, by name.
func (c *Cluster) DescribeGroup(overrides map[string]string) []Entry {
	entries := make([]Entry, 0, len(groupTable))
	for i := range groupTable {
		s := &groupTable[i]
		var synonyms []Synonym
		if v, ok := overrides[s.Name]; ok {
			synonyms = append(synonyms, Synonym{s.Name, &v, FromGroup})
		}
		synonyms = append(synonyms, c.synonyms(s.from)...)
		entries = append(entries, entryOf(&s.Definition, synonyms))
	}
	return entries
}
