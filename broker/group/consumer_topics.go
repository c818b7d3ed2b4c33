package group

import (
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
)

// compileRegex compiles an expression that has to match whole names, as in Kafka. Both are RE2.
func compileRegex(text string) (*regexp.Regexp, error) {
	if len(text) > maxRegexBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalidRegex, maxRegexBytes)
	}
	if _, err := regexp.Compile(text); err != nil { // on its own, so that it cannot close the group around it
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	compiled, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidRegex, err)
	}
	return compiled, nil
}

// lookAtTopics finds out what the subscriptions mean, if topics or subscriptions (force) changed, and tells whether that is
// something else than before. Its cost is bounded: names are looked up, and expressions go over all topics at most once in
// regexPause, but for those that are new.
func (m *consumerMachine) lookAtTopics(now time.Time, force bool) (changed bool) {
	if m.seen == m.topics && !force {
		return false
	}
	pausing := now.Before(m.regexAfter)
	if len(m.regexes) > 0 && pausing && !force {
		return false
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
	return m.digest() != m.metadata
}

// resolveRegexes resolves the members' expressions: all whose topics are old, or only new ones. It tells whether there was
// nothing to do.
func (m *consumerMachine) resolveRegexes(onlyNew bool) (none bool) {
	used := make(map[string]bool)
	none = true
	for _, mb := range m.order {
		if mb.regex == "" || used[mb.regex] {
			continue
		}
		used[mb.regex] = true
		r := m.regexes[mb.regex]
		if r == nil {
			compiled, err := compileRegex(mb.regex)
			if err != nil {
				continue // of a record that another version wrote: it matches nothing
			}
			r = &regex{compiled: compiled}
			m.regexes[mb.regex] = r
		}
		if r.view == m.topics || r.view != nil && onlyNew {
			continue
		}
		none = false
		r.view, r.topics = m.topics, r.topics[:0]
		for _, t := range m.topics.list {
			if r.compiled.MatchString(t.Name) {
				r.topics = append(r.topics, t.ID)
			}
		}
	}
	maps.DeleteFunc(m.regexes, func(text string, _ *regex) bool { return !used[text] })
	return none
}

// subscribedTopics returns a function that gives the existing topics of a member, sorted. Members that subscribe to the same
// share a list.
func (m *consumerMachine) subscribedTopics() func(mb *consumerMember) []metastore.TopicID {
	known := make(map[string][]metastore.TopicID)
	return func(mb *consumerMember) []metastore.TopicID {
		key := mb.regex + "\x00" + strings.Join(mb.names, "\x00")
		if topics, ok := known[key]; ok {
			return topics
		}
		var topics []metastore.TopicID
		for _, name := range mb.names {
			if t := m.topics.byName[name]; t != nil {
				topics = append(topics, t.ID)
			}
		}
		if r := m.regexes[mb.regex]; r != nil {
			for _, id := range r.topics {
				if m.topics.byID[id] != nil {
					topics = append(topics, id)
				}
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
	used := make(map[string]bool)
	topics := m.subscribedTopics()
	for _, mb := range m.order {
		used[mb.regex] = m.regexes[mb.regex] != nil
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
	for _, text := range slices.Sorted(maps.Keys(used)) {
		if !used[text] {
			continue
		}
		b = append(binary.BigEndian.AppendUint32(b[:0], uint32(len(text))), text...)
		for _, t := range m.regexes[text].topics {
			b = append(b, t[:]...)
		}
		_, _ = h.Write(b)
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
