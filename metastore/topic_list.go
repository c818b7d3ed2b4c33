package metastore

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// topicList keeps all topics by name between their changes, which are rare, while every client asks for all of them. A
// list that was given out does not change.
type topicList struct {
	byName atomic.Pointer[[]*Topic] // nil: to be made
}

// Topics returns all topics by name. The list is shared: it is not to be modified.
func (r *Replica) Topics() []*Topic {
	if list := r.topics.byName.Load(); list != nil {
		return *list
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]*Topic, 0, len(r.state.topics))
	for _, t := range r.state.topics {
		list = append(list, t.Topic)
	}
	slices.SortFunc(list, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	r.topics.byName.Store(&list) // nothing changes the state before we let go of it
	return list
}

// applied follows a change of the state, which is locked for writing. Making the list anew would take milliseconds if
// there are many topics, for each of those that are created one after the other.
func (l *topicList) applied(s *State, c change) {
	old := l.byName.Load()
	if old == nil {
		return
	}
	list := *old
	switch c := c.(type) {
	case createTopic:
		i, _ := slices.BinarySearchFunc(list, c.name, func(t *Topic, name string) int { return cmp.Compare(t.Name, name) })
		list = slices.Insert(slices.Clone(list), i, s.topics[c.id].Topic)
	case deleteTopic:
		list = slices.DeleteFunc(slices.Clone(list), func(t *Topic) bool { return t.ID == c.id })
	case createPartitions:
		list = replaced(list, s.topics[c.id])
	case alterTopicConfigs:
		list = replaced(list, s.topics[c.id])
	case setReplicationFactor:
		list = replaced(list, s.topics[c.id])
	case restoreState:
		l.forget()
		return
	default:
		return
	}
	l.byName.Store(&list)
}

// replaced is the list with a topic as it is now; nil is none.
func replaced(list []*Topic, now *topicState) []*Topic {
	if now == nil {
		return list
	}
	list = slices.Clone(list)
	if i := slices.IndexFunc(list, func(t *Topic) bool { return t.ID == now.ID }); i >= 0 {
		list[i] = now.Topic
	}
	return list
}

// forget is for a state that took the place of another.
func (l *topicList) forget() { l.byName.Store(nil) }
