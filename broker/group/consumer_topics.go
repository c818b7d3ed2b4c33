package group

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/runnel-io/runnel/broker/group/assignor"
	"github.com/runnel-io/runnel/metastore"
)

// regexKey names an expression of members that see the same topics.
type regexKey struct{ text, who string }

func (mb *consumerMember) regexKey() regexKey { return regexKey{mb.regex, mb.sight.Who} }

// regex is a regular expression that members subscribe to, with the topics that it matched.
type regex struct {
	compiled *regexp.Regexp
	view     *topicView // that it was resolved in; nil: not yet
	topics   []metastore.TopicID
}

const (
	// maxRegexBytes bounds what a match costs, which is linear in it. Kafka has no bound.
	maxRegexBytes = 8192
	// regexPause is how long a group that has regular expressions does not look at topics that changed, after it did.
	regexPause = time.Second
	// sightAge is for how long expressions are not resolved anew that members have who may not know of all topics. What they may
	// is asked again then: rules change without a word, as in Kafka, which asks again after ten minutes.
	sightAge = time.Minute
)

// see notes which topics a member may know of.
func (m *consumerMachine) see(mb *consumerMember, s Sight) {
	mb.sight = s
	m.sighted = m.sighted || s.Who != ""
}

// unheard tells that it is not known which topics a member may know of: the group was read from its record, and the member
// has not been heard of since.
func (m *consumerMachine) unheard(mb *consumerMember) bool {
	return m.sighted && mb.regex != "" && mb.sight.Who == ""
}

// expressions returns a function that gives a member's regular expression as it was resolved, nil if it was not. Of a member that
// is unheard it is that of another with the same text.
func (m *consumerMachine) expressions() func(mb *consumerMember) *regex {
	heard := make(map[string]*regex)
	if m.sighted {
		for _, mb := range m.order {
			if !m.unheard(mb) && heard[mb.regex] == nil {
				heard[mb.regex] = m.regexes[mb.regexKey()]
			}
		}
	}
	return func(mb *consumerMember) *regex {
		if m.unheard(mb) {
			return heard[mb.regex]
		}
		return m.regexes[mb.regexKey()]
	}
}

// waits tells whether there are members of whom nothing says what their expressions match.
func (m *consumerMachine) waits() bool {
	if !m.sighted {
		return false
	}
	expression := m.expressions()
	return slices.ContainsFunc(m.order, func(mb *consumerMember) bool { return m.unheard(mb) && expression(mb) == nil })
}

// CompileRegex compiles an expression that has to match whole names, as in Kafka. Both are RE2.
func CompileRegex(text string) (*regexp.Regexp, error) {
	if len(text) > maxRegexBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalidRegex, maxRegexBytes)
	}
	if _, err := regexp.Compile(text); err != nil { // on its own, so that it cannot close the group around it
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	compiled, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		compiled, err = regexp.Compile(`^(?:` + text + `\E)$`) // its last quotation goes up to the end
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	return compiled, nil
}

// lookAtTopics finds out what the subscriptions mean, if topics or subscriptions (force) changed, and tells whether that is
// something else than before. Its cost is bounded: names are looked up, and expressions go over all topics at most once in
// regexPause, but for those that are new.
func (m *consumerMachine) lookAtTopics(now time.Time, force bool) (changed bool) {
	stale := m.sighted && !now.Before(m.sightUntil)
	if m.seen == m.topics && !force && !stale {
		return false
	}
	pausing := now.Before(m.regexAfter)
	if len(m.regexes) > 0 && pausing && !force {
		return false
	}
	if stale {
		for _, r := range m.regexes {
			r.view = nil
		}
		m.sightUntil = now.Add(sightAge)
	}
	if !m.resolveRegexes(pausing) && !pausing {
		m.regexAfter = now.Add(regexPause)
	}
	m.seen = m.topics
	for _, r := range m.regexes {
		if r.view != m.topics {
			m.seen = nil // look again
		}
	}
	if m.waits() {
		m.seen = nil // when all have been heard of; what they had stays theirs so long
		return false
	}
	return m.digest() != m.metadata
}

// resolveRegexes resolves the members' expressions: all whose topics are old, or only new ones. It tells whether there was
// nothing to do.
func (m *consumerMachine) resolveRegexes(onlyNew bool) (none bool) {
	used := make(map[regexKey]bool)
	none = true
	for _, mb := range m.order {
		key := mb.regexKey()
		if mb.regex == "" || used[key] || m.unheard(mb) {
			continue
		}
		used[key] = true
		r := m.regexes[key]
		if r == nil {
			compiled, err := CompileRegex(mb.regex)
			if err != nil {
				continue // of a record that another version wrote: it matches nothing
			}
			r = &regex{compiled: compiled}
			m.regexes[key] = r
		}
		if r.view == m.topics || r.view != nil && onlyNew {
			continue
		}
		none = false
		r.view, r.topics = m.topics, r.topics[:0]
		for _, t := range m.topics.list {
			if r.compiled.MatchString(t.Name) && (mb.sight.Sees == nil || mb.sight.Sees(t.Name)) {
				r.topics = append(r.topics, t.ID)
			}
		}
	}
	maps.DeleteFunc(m.regexes, func(key regexKey, _ *regex) bool { return !used[key] })
	return none
}

// subscribedTopics returns a function that gives the existing topics of a member, sorted. Members that subscribe to the same
// share a list.
func (m *consumerMachine) subscribedTopics() func(mb *consumerMember) []metastore.TopicID {
	known, expression := make(map[string][]metastore.TopicID), m.expressions()
	return func(mb *consumerMember) []metastore.TopicID {
		r := expression(mb)
		key := mb.sight.Who + "\x00" + mb.regex + "\x00" + strings.Join(mb.names, "\x00")
		if r == nil && m.unheard(mb) {
			key += "\x00" + mb.id
		}
		if topics, ok := known[key]; ok {
			return topics
		}
		var topics []metastore.TopicID
		for _, name := range mb.names {
			if t := m.topics.byName[name]; t != nil {
				topics = append(topics, t.ID)
			}
		}
		var matched []metastore.TopicID
		if r != nil {
			matched = r.topics
		} else if m.unheard(mb) {
			for _, tp := range mb.target {
				matched = append(matched, tp.Topic)
			}
		}
		for _, id := range matched {
			if m.topics.byID[id] != nil {
				topics = append(topics, id)
			}
		}
		slices.SortFunc(topics, compareTopicIDs)
		known[key] = slices.Compact(topics)
		return known[key]
	}
}

func compareTopicIDs(a, b metastore.TopicID) int {
	return assignor.Compare(metastore.TopicPartition{Topic: a}, metastore.TopicPartition{Topic: b})
}

// digest sums up all that an assignment depends on beside the members: the topics that are subscribed to, how many partitions
// they have, and what each expression matches. That of the target is durable, so that another coordinator sees whether topics changed since.
func (m *consumerMachine) digest() uint64 {
	all := make(map[metastore.TopicID]bool)
	used := make(map[*regex]string)
	topics, expression := m.subscribedTopics(), m.expressions()
	for _, mb := range m.order {
		if r := expression(mb); r != nil {
			used[r] = mb.regex
		}
		for _, t := range topics(mb) {
			all[t] = true
		}
	}
	h := fnv.New64a()
	var b []byte
	for _, t := range slices.SortedFunc(maps.Keys(all), compareTopicIDs) {
		b = binary.BigEndian.AppendUint32(append(b[:0], t[:]...), uint32(m.topics.byID[t].Partitions))
		_, _ = h.Write(b)
	}
	type match struct{ text, topics string }
	matches := make(map[match]bool) // not who: that the members are others changes nothing
	for r, text := range used {
		b = b[:0]
		for _, t := range r.topics {
			b = append(b, t[:]...)
		}
		matches[match{text, string(b)}] = true
	}
	byText := func(x, y match) int {
		return cmp.Or(strings.Compare(x.text, y.text), strings.Compare(x.topics, y.topics))
	}
	for _, x := range slices.SortedFunc(maps.Keys(matches), byText) {
		b = append(binary.BigEndian.AppendUint32(b[:0], uint32(len(x.text))), x.text...)
		_, _ = h.Write(append(b, x.topics...))
	}
	return h.Sum64()
}

// subscription tells which topics the members consume.
func (m *consumerMachine) subscription() (func(topic string) bool, error) {
	if m.dead {
		return nil, ErrGroupNotFound
	}
	names := m.subscribedNames()
	return func(topic string) bool { return names[topic] }, nil
}

func (m *consumerMachine) subscribedNames() map[string]bool {
	m.resolveRegexes(true) // of a group that was restored, whose members have not been heard of
	names := make(map[string]bool)
	topics := m.subscribedTopics()
	for _, mb := range m.order {
		for _, name := range mb.names {
			names[name] = true
		}
		for _, id := range topics(mb) {
			names[m.topics.byID[id].Name] = true
		}
	}
	return names
}
