package group

import (
	"maps"
	"slices"
	"time"
)

// expiry says which committed offsets of a group are old.
type expiry struct {
	through time.Time // those committed then or before
	except  []string  // but not those of the topics named
}

// expiry is the event that it is looked for old offsets. False if the group may have none.
func (m *machine) expiry(now time.Time, retention time.Duration) (expiry, bool) {
	each := expiry{through: now.Add(-retention)}
	switch {
	case m.state == Empty && m.protocolType != "" && !m.emptySince.IsZero():
		// All of them at once, whenever they were committed.
		return expiry{through: now}, now.Sub(m.emptySince) >= retention
	case m.state == Empty:
		return each, true // no members ever, or nobody knows since when there are none
	case m.state == Stable && m.protocolType == consumerType:
		topics, known := m.subscribedTopics()
		each.except = slices.Sorted(maps.Keys(topics))
		return each, known
	default:
		return expiry{}, false
	}
}

// expiry goes by the commit of each offset, as Kafka does for consumer groups with members and without.
func (m *consumerMachine) expiry(now time.Time, retention time.Duration) (expiry, bool) {
	return expiry{through: now.Add(-retention), except: slices.Sorted(maps.Keys(m.subscribedNames()))}, !m.dead
}
